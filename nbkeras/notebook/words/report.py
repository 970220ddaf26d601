"""What a report says."""

from __future__ import annotations

from nbkeras.notebook.words.language import Words

#: A report on predictions.
REPORT = Words(
    {
        "rows": ("{count} rows", "{count} 行"),
        "top": ("top {k}", "前 {k} 名"),
        "own": ("the model's {name}", "模型的 {name}"),
        "more": ("{count} more rows are in the table of the report", "另有 {count} 行见报告的表格"),
        "confusion": ("confusion matrix", "混淆矩阵"),
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
    }
)
