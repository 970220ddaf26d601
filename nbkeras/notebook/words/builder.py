"""What the builder says."""

from __future__ import annotations

from nbkeras.notebook.words.language import Words
from nbkeras.notebook.words.shared import COPY

#: What the builder says; see frontend/builder.js.
BUILDER = Words(
    {
        "builder": ("Build a network", "构建网络"),
        "data": ("Data", "数据"),
        "frame": ("DataFrame", "DataFrame"),
        "label": ("Label", "标签"),
        "task": ("What is learnt", "学习目标"),
        "task_auto": ("as the label says: {task}", "由标签决定：{task}"),
        "task_binary": ("two classes", "两个类别"),
        "task_classes": ("several classes", "多个类别"),
        "task_regression": ("a number", "一个数值"),
        "task_input": ("the features themselves", "特征本身"),
        "features": ("Features", "特征"),
        "features_chosen": ("{count} of {all} chosen", "已选 {count}/{all}"),
        "filter": ("Find a column", "查找列"),
        "more_columns": ("{count} more: type a part of the name", "另有 {count} 列：请输入列名的一部分"),
        "network": ("Layers", "层"),
        "preset": ("Start from", "起点"),
        "own": ("own layers", "自定义网络层"),
        "presets": ("Networks", "网络"),
        "models": ("Models of this notebook", "本笔记本中的模型"),
        "input": ("Input of a row", "每行的输入"),
        "input_columns": ("All columns in a line", "各列依次相连"),
        "column": ("Layers of a column", "单列的层"),
        "column_none": ("choose a column", "请选择列"),
        "kind": ("Another layer", "新增层"),
        "kind_of": ("Another layer for {name}", "为 {name} 新增层"),
        "add_to": ("Add to {name}", "添加到 {name}"),
        "add": ("Add", "添加"),
        "keys": (
            "Enter: arguments; Alt+↑ and Alt+↓: move; Delete: remove",
            "回车：参数；Alt+↑ 与 Alt+↓：移动；Delete：删除",
        ),
        "no_layers": (
            "There is no layer: add some, and end with {layer}",
            "还没有层：请添加层，并以 {layer} 结尾",
        ),
        "no_arguments": ("This layer has nothing to choose.", "此层没有可选参数。"),
        "up": ("Move layer {number}, {kind}, up", "上移第 {number} 层 {kind}"),
        "down": ("Move layer {number}, {kind}, down", "下移第 {number} 层 {kind}"),
        "remove": ("Remove layer {number}, {kind}", "删除第 {number} 层 {kind}"),
        "weights": ("{count} weights", "{count} 个权重"),
        "total": (
            "{count} weights in all; a worker takes about {memory} MB of memory",
            "共 {count} 个权重；每个工作进程约占 {memory} MB 内存",
        ),
        "any": ("any", "任意"),
        "none": ("none", "无"),
        "group_core": ("Core", "核心"),
        "group_convolution": ("Convolution", "卷积"),
        "group_pooling": ("Pooling", "池化"),
        "group_sequence": ("Sequences", "序列"),
        "group_normalisation": ("Normalisation", "归一化"),
        "group_preprocessing": ("Preprocessing", "预处理"),
        "group_augmentation": ("Augmentation, in training alone", "数据增强（仅训练时）"),
        "training": ("Training", "训练"),
        "optimizer": ("Optimizer", "优化器"),
        "learning_rate": ("Learning rate", "学习率"),
        "batch_size": ("Batch size", "批大小"),
        "epochs": ("Epochs", "轮数"),
        "validation_split": ("Validation split", "验证比例"),
        "workers": ("Workers", "工作进程"),
        "backend": ("Backend", "后端"),
        "train_now": ("Train", "训练"),
        "train_waits": ("Waiting for the cell that runs", "正在等待运行中的单元格"),
        "train_trains": ("Training: see below", "训练中：见下方"),
        "what": (
            "It sets model and history in this notebook",
            "会设置本笔记本中的 model 与 history",
        ),
        "loss": ("Loss", "损失"),
        "metrics": ("Metrics", "指标"),
        "patience": ("Patience", "早停耐心"),
        "patience_hint": (
            "epochs without a lower loss; 0: never stop early",
            "损失不再下降的轮数；0 表示不早停",
        ),
        "left_out": ("{count} left out: see why", "未使用 {count} 列：查看原因"),
        "more_left": ("{count} more", "另有 {count} 列"),
        "why_words": (
            "lists of words: functions.concat_ws(' ', …) makes a sentence of each",
            "文字列表：可用 functions.concat_ws(' ', …) 连成句子",
        ),
        "why_spans": ("spans of time: make numbers of them first", "时间间隔：请先转为数值"),
        "why_array": ("arrays: no row tells how long they are", "数组：没有一行能说明其长度"),
        "why_name": (
            "an input of Keras cannot have its name: rename it",
            "Keras 输入不能用此名称：请重命名",
        ),
        "why_gaps": (
            "it has gaps: df.fillna(…) fills them, df.dropna(…) leaves their rows out",
            "有缺失值：可用 df.fillna(…) 填补，或用 df.dropna(…) 去掉这些行",
        ),
        "why_parts": (
            "several values: make columns of them, as df.select('*', 'name.part')",
            "多个值：请拆成单独的列，例如 df.select('*', 'name.part')",
        ),
        "why_empty": ("it holds nothing", "其中没有任何值"),
        "why_other": ("no numbers: turn it into some, or leave it out", "不是数值：请转为数值或不使用"),
        "not_ready": ("Fix what is red first", "请先修正标红之处"),
        "code": ("Keras code", "Keras 代码"),
        **COPY,
        "waiting": (
            (
                "The kernel has not answered yet: it is busy with a cell, or it was restarted; then run this "
                "cell again."
            ),
            "内核尚未响应：它正忙于某个单元格，或已重启；若已重启，请重新运行此单元格。",
        ),
    }
)
