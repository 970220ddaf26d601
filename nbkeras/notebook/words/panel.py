"""What the panel of one run says, and the table under its picture."""

from __future__ import annotations

from nbkeras.notebook.words.language import Words
from nbkeras.notebook.words.run import SENTENCES
from nbkeras.notebook.words.shared import AT_EPOCH, MORE_CURVES

#: What the panel of a run says; see frontend/panel.js.
PANEL = Words(
    {
        **{f"phase_{name}": both for name, both in SENTENCES.items() if name != "stopping"},
        "stopping": SENTENCES["stopping"],
        "title": ("Training {name}", "训练 {name}"),
        "stop": ("Stop", "停止"),
        "stop_title": (
            "Finish this batch, keep the weights and the history",
            "完成这一批，保留权重和历史",
        ),
        "stop_asked": ("Stopping…", "正在停止…"),
        "stop_hint": (
            "The kernel is busy with another cell, which comes first.",
            "内核正忙于另一个单元格，需等它先完成。",
        ),
        "stop_hint_foreground": (
            "The kernel has not answered yet: press ■ in the toolbar.",
            "内核尚未响应：请按工具栏上的 ■。",
        ),
        "elapsed": ("{time} elapsed", "已用 {time}"),
        "remaining": ("about {time} left", "约剩 {time}"),
        "so_far": ("Loss of epoch {epoch} so far: {value}", "第 {epoch} 轮到目前的损失：{value}"),
        "so_far_first": (
            "Loss of epoch {epoch} so far, on the rows of worker 0: {value}",
            "第 {epoch} 轮到目前的损失（工作进程 0 的行）：{value}",
        ),
        "best_point": ("Best: {value}, epoch {epoch}", "最佳：{value}，第 {epoch} 轮"),
        "rate": ("{rows} rows/s", "{rows} 行/秒"),
        "kernel_gone": (
            "The kernel ended or was restarted, with it the training in epoch {epoch}: run the cell again",
            "内核已重启或结束，训练也随之在第 {epoch} 轮结束：请重新运行此单元格。",
        ),
        "silent": ("No news from the kernel for {seconds} s", "内核已 {seconds} 秒没有消息"),
        "progress": ("Progress of the training", "训练进度"),
        "train": ("train", "训练"),
        "validation": ("val", "验证"),
        "axis": ("epoch", "轮"),
        "chart": ("{title} by epoch. {values}.", "{title} 随轮次的变化。{values}。"),
        "value": ("{name} {value}", "{name} {value}"),
        "said_epoch": ("Epoch {epoch} of {epochs}", "第 {epoch}/{epochs} 轮"),
        "more": MORE_CURVES,
        # the tools of the panel
        "pause": ("Pause", "暂停"),
        "pause_title": (
            "Have the workers wait after this batch; their slots stay taken",
            "让工作进程在这一批之后等待；槽位仍被占用",
        ),
        "pause_asked": ("Pausing…", "正在暂停…"),
        "resume": ("Resume", "继续"),
        "resume_title": ("Have the workers go on", "让工作进程继续"),
        "resume_asked": ("Resuming…", "正在继续…"),
        "learning_rate": ("Learning rate", "学习率"),
        "learning_rate_title": (
            "What the workers train with; type another one and press Enter",
            "工作进程使用的学习率；输入新值并按回车",
        ),
        "learning_rate_typed": (
            "Enter sets this learning rate, Esc takes it back.",
            "按回车设置此学习率，按 Esc 撤回。",
        ),
        "learning_rate_asked": (
            "The workers take this learning rate with their next batch.",
            "工作进程从下一批起使用此学习率。",
        ),
        "steer_hint_foreground": (
            "This kernel hears it only when the cell has ended; --background keeps it free.",
            "此内核要等单元格结束才能收到；--background 可使其保持空闲。",
        ),
        "tools": ("How the charts are shown", "图表的显示方式"),
        "log": ("Log scale", "对数刻度"),
        "log_left_out": (
            "{count} values of 0 or less have no place on a log scale.",
            "{count} 个不大于 0 的值无法显示在对数刻度上。",
        ),
        "log_left_out_one": (
            "One value of 0 or less has no place on a log scale.",
            "1 个不大于 0 的值无法显示在对数刻度上。",
        ),
        "smoothing": ("Smoothing", "平滑"),
        "curves": ("Curves", "曲线"),
        "all_hidden": (
            "All curves are hidden: tick some under Curves.",
            "所有曲线都已隐藏：请在“曲线”中勾选。",
        ),
        "chart_keys": ("Arrow keys read the values.", "用方向键读取数值。"),
        "read_epoch": ("epoch {epoch}", "第 {epoch} 轮"),
        "read_near": AT_EPOCH,
        "read_smoothed": ("{value} ({measured} measured)", "{value}（实测 {measured}）"),
        "download": ("Download", "下载"),
        "download_as": ("Download {format}", "下载 {format}"),
        "thinned": (
            "Of so many epochs charts and files have the lowest and highest points: run.history has all.",
            "轮数过多，图表和文件只含各段的最低点和最高点：run.history 中有全部数值。",
        ),
    }
)

#: The table under the picture of a run.
TABLE = Words(
    {
        "metric": ("metric", "指标"),
        "last": ("train, last", "训练，最后"),
        "best": ("train, best", "训练，最佳"),
        "val_last": ("validation, last", "验证，最后"),
        "val_best": ("validation, best", "验证，最佳"),
        "best_at": AT_EPOCH,
        "more": MORE_CURVES,
    }
)
