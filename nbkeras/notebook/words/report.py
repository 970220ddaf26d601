"""What a report says."""

from __future__ import annotations

from nbkeras.notebook.words.language import Words

#: Figures and columns that have words in Chinese.
_FIGURES = {
    "accuracy": "准确率",
    "balanced accuracy": "平衡准确率",
    "log loss": "对数损失",
    "brier": "Brier 分数",
    "ece": "期望校准误差",
    "roc auc": "ROC 曲线下面积",
    "average precision": "平均精确率",
    "subset accuracy": "子集准确率",
    "hamming loss": "汉明损失",
    "explained variance": "解释方差",
    "bias": "偏差",
    "max error": "最大误差",
    "precision": "精确率",
    "recall": "召回率",
    "f1-score": "F1 分数",
    "support": "行数",
    "rows": "行数",
}

#: A report on predictions.
REPORT = Words(
    {
        "rows": ("{count} rows", "{count} 行"),
        "top": ("top {k}", "前 {k} 名"),
        "own": ("the model's {name}", "模型的 {name}"),
        "more": ("{count} more rows are in the table of the report", "另有 {count} 行见报告的表格"),
        "confusion": ("confusion matrix", "混淆矩阵"),
        "mistaken": ("most mistaken pairs", "最易混淆的类别对"),
        "weight": ("rows", "行数"),
        "roc": ("ROC", "ROC 曲线"),
        "precision_recall": ("precision and recall", "精确率与召回率"),
        "calibration": ("calibration", "校准"),
        "truth": ("prediction against truth", "预测值与真实值"),
        "residuals": ("residuals", "残差"),
        "actual": ("actual", "真实"),
        "predicted": ("predicted", "预测"),
        "false_positive": ("false positive rate", "假阳性率"),
        "true_positive": ("true positive rate", "真阳性率"),
        "precision": ("precision", "精确率"),
        "recall": ("recall", "召回率"),
        "said": ("predicted probability", "预测概率"),
        "happened": ("actual frequency", "实际频率"),
        "residual": ("predicted - actual", "预测 - 真实"),
        "sample_rows": ("rows of the sample", "样本行数"),
        "bytes": ("{count} bytes", "{count} 字节"),
        # the live view
        "report": ("Report on {title}", "{title} 的报告"),
        "parts": ("Parts of the report", "报告的各部分"),
        "classes": ("classes", "类别"),
        "class": ("class", "类别"),
        "amounts": ("amounts", "预测量"),
        "all_classes": ("all classes", "所有类别"),
        "slices": ("slices", "分组"),
        "worst": ("worst rows", "最差的行"),
        "part": ("part of the class", "占该类别的比例"),
        "row_share": ("{rows} of {all} rows, {part}", "{all} 行中的 {rows} 行，{part}"),
        "matrix_keys": (
            "Click a cell, or move with the arrow keys and press Enter, to see that class.",
            "点击单元格，或用方向键移动并按回车，查看该类别。",
        ),
        "cell": (
            "{actual} predicted as {predicted}: {rows} rows, {part}",
            "{actual} 被预测为 {predicted}：{rows} 行，{part}",
        ),
        "taken_for": ("{name} is taken for", "{name} 被误认为"),
        "taken_by": ("What is taken for {name}", "被误认为 {name} 的类别"),
        "never": ("nothing else", "无"),
        "pair_title": ("{actual} predicted as {predicted}", "{actual} 被预测为 {predicted}"),
        "right": ("{name}, predicted correctly", "{name}，预测正确"),
        "pair_rows": ("The worst rows of this pair", "这一对中最差的行"),
        "no_pair_rows": (
            "None of the worst rows that are kept is of this pair.",
            "所保留的最差行中没有这一对的行。",
        ),
        "ask_rows": (
            "A report with worst=100 keeps rows to look at here.",
            "用 worst=100 生成报告，即可在此查看具体的行。",
        ),
        "too_many": (
            "There are {count} classes: these are the pairs that are mistaken most.",
            "共有 {count} 个类别：以下是最易混淆的类别对。",
        ),
        "curve": ("{title} of {values}", "{values} 的{title}"),
        "cut": (
            "This page has a part of the report: report.save(path) writes all of it.",
            "此页面只含报告的一部分：report.save(path) 可写出全部内容。",
        ),
        "download": ("Download", "下载"),
        "download_as": ("Download {format}", "下载 {format}"),
        "download_table": ("Download the shown table as CSV", "以 CSV 下载所示表格"),
        **{f"figure_{name}": (name, said) for name, said in _FIGURES.items()},
    }
)
