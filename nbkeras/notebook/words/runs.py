"""What the panel and the tables of runs say."""

from __future__ import annotations

from nbkeras.notebook.words.language import Words
from nbkeras.notebook.words.shared import AT_EPOCH, COPY

#: What the panel and the tables of runs say; see record.py, comparison.py and frontend/runs.js.
RUNS = Words(
    {
        "title": ("Runs", "训练记录"),
        "none": (
            (
                "No run yet: train a model with nbkeras.fit or in a %%keras_spark cell, "
                "or read a checkpoint with nbkeras.runs.read(PATH)."
            ),
            (
                "还没有训练：用 nbkeras.fit 或在 %%keras_spark 单元格中训练模型，"
                "或用 nbkeras.runs.read(PATH) 读取检查点。"
            ),
        ),
        "hint": (
            "Tick runs to compare them, to see their code and to load their weights.",
            "勾选训练以便比较、查看代码和载入权重。",
        ),
        "refresh": ("Refresh", "刷新"),
        "choose": ("Compare {name}", "比较 {name}"),
        "name": ("run", "训练"),
        "status": ("status", "状态"),
        "epochs": ("epochs", "轮数"),
        "best": ("best", "最佳"),
        "best_epoch": ("at epoch", "所在轮"),
        "seconds": ("seconds", "秒"),
        "rate": ("rows/s", "行/秒"),
        "workers": ("workers", "工作进程"),
        "began": ("began", "开始"),
        "reports": ("reports", "报告"),
        "reports_of": ("Open the reports of {name}: {count}", "打开 {name} 的报告：{count}"),
        "reports_title": ("Reports of {name}", "{name} 的报告"),
        "others_title": ("Reports of no run", "不属于任何训练的报告"),
        "open_others": ("Open reports of no run: {count}", "打开不属于任何训练的报告：{count}"),
        "status_running": ("at work", "进行中"),
        "status_paused": ("paused", "已暂停"),
        "status_finished": ("finished", "已完成"),
        "status_stopped": ("stopped", "已停止"),
        "status_failed": ("failed", "失败"),
        "status_aborted": ("aborted", "已中止"),
        "epochs_of": ("{done} of {asked}", "{done}/{asked}"),
        "best_of": ("{metric} {value}", "{metric} {value}"),
        "older": ("{count} older runs are in nbkeras.runs", "另有 {count} 个较早的训练在 nbkeras.runs 中"),
        "other_reports": (
            "Reports on what no run has trained, in nbkeras.runs.reports: {count}",
            "nbkeras.runs.reports 中不属于任何训练的报告：{count}",
        ),
        "most": (
            "Up to {most} runs are compared at once: untick one to choose another.",
            "一次最多比较 {most} 个训练：取消勾选一个才能选择另一个。",
        ),
        "waiting": (
            "The kernel is busy: it answers when its cell has ended.",
            "内核正忙：单元格结束后才会响应。",
        ),
        "compared": ("Compared runs", "所比较的训练"),
        "code": ("Show code", "显示代码"),
        "code_of": ("Show the code of {name}", "显示 {name} 的代码"),
        "code_title": ("Code of {name}", "{name} 的代码"),
        "no_code": (
            "{name} has no code: it was not trained from a cell.",
            "{name} 没有代码：它不是从单元格训练的。",
        ),
        **COPY,
        "close": ("Close", "关闭"),
        "load": ("Load weights", "载入权重"),
        "load_of": ("Load the weights of {name} into its model", "把 {name} 的权重载入其模型"),
        "loaded": ("The weights of {name} are in its model now.", "{name} 的权重已载入其模型。"),
        "in_training": (
            "The model of {name} is at work in run {other}: wait for its end, then load the weights.",
            "{name} 的模型正在训练 {other} 中使用：请等它结束后再载入权重。",
        ),
        "bests": ("Best values", "最佳值"),
        "best_value": AT_EPOCH,
        "settings": ("Settings that differ", "不同的设置"),
        "same": ("All settings are the same.", "所有设置都相同。"),
        "no_curves": ("There is no finished epoch to draw yet.", "还没有可绘制的已完成轮次。"),
        "more": ("{count} more metrics are in run.history", "另有 {count} 个指标在 run.history 中"),
        "legend": (
            "Solid: training. Dashed: validation. A ring marks the best epoch.",
            "实线：训练。虚线：验证。圆环标出最佳轮次。",
        ),
        "picture": ("{title} of {names}", "{names} 的 {title}"),
        "metric": ("metric", "指标"),
        "setting": ("setting", "设置"),
        "unset": ("-", "-"),
        "columns": ("{count} columns: {first}, …", "{count} 列：{first}、…"),
    }
)
