"""What a comparison of models says."""

from __future__ import annotations

from nbkeras.notebook.words.language import Words

#: Models side by side.
LEADERBOARD = Words(
    {
        "title": ("{count} models for {label}", "{label} 的 {count} 个模型"),
        "compared": ("{title}, compared", "{title}，对比"),
        "download": ("Download", "下载"),
        "download_as": ("Download {format}", "下载 {format}"),
        "download_table": ("Download the table as CSV", "以 CSV 下载表格"),
        "model": ("model", "模型"),
        "kind": ("of", "来源"),
        "train": ("training", "训练"),
        "predict": ("rows/s predicted", "每秒预测行数"),
        "size": ("size", "大小"),
        "note": ("note", "备注"),
        "kind_Keras": ("Keras", "Keras"),
        "kind_MLlib": ("MLlib", "MLlib"),
        "kind_baseline": ("no features", "不用特征"),
        "waiting": ("waits", "等待中"),
        "training": ("trains…", "训练中…"),
        "training_fold": ("trains, fold {fold} of {folds}…", "训练中，第 {fold}/{folds} 折…"),
        "scoring": ("is scored…", "评分中…"),
        "failed": ("failed", "失败"),
        "stopped": ("stopped", "已停止"),
        "seconds": ("{seconds} s", "{seconds} 秒"),
        "won": (
            "{winner} won: {metric} {best}, {difference} better than {second} ({other}).",
            "{winner} 胜出：{metric} {best}，比 {second}（{other}）好 {difference}。",
        ),
        "won_folds": (
            "{winner} won {ahead} of {folds} folds: {metric} {best}, {difference} better than {second}.",
            "{winner} 胜出 {ahead}/{folds} 折：{metric} {best}，比 {second} 好 {difference}。",
        ),
        "level": (
            "{winner} and {second} are level: {metric} {best}.",
            "{winner} 与 {second} 持平：{metric} {best}。",
        ),
        "alone": ("{winner} alone has ended: {metric} {best}.", "只有 {winner} 完成：{metric} {best}。"),
        "no_better": (
            "No model is better than one that knows no features: {metric} {best}.",
            "没有模型好于不用特征的基线：{metric} {best}。",
        ),
        "close": (
            "Their difference is smaller than its spread over the folds.",
            "二者的差小于它在各折之间的波动。",
        ),
        "no_figure": ("No model has the figure {metric}.", "没有模型给出 {metric}。"),
        "none": ("No model has ended.", "没有模型完成。"),
        "busy": ("{done} of {count} models have ended.", "{count} 个模型中已完成 {done} 个。"),
        "rows": ("scored on {rows} rows", "在 {rows} 行上评分"),
        "folds": ("{folds} folds, {rows} rows in all", "{folds} 折，共 {rows} 行"),
        "lower": ("{metric} (lower is better)", "{metric}（越低越好）"),
        "higher": ("{metric} (higher is better)", "{metric}（越高越好）"),
        "train_axis": ("training, seconds", "训练（秒）"),
        "predict_axis": ("rows predicted per second", "每秒预测行数"),
    }
)
