"""What the picture of a model says."""

from __future__ import annotations

from nbkeras.notebook.words.language import Words

#: How a model looks.
LOOKS = Words(
    {
        "layer": ("layer", "层"),
        "kind": ("type", "类型"),
        "shape": ("output of a row", "每行的输出"),
        "weights": ("weights", "权重"),
        "table": ("all layers as a table", "所有层的表格"),
        "more": ("{count} more layers are in model.summary()", "另有 {count} 层见 model.summary()"),
        "sum": (
            "{name}: {total} weights, {frozen} of them frozen, {size}",
            "{name}：{total} 个权重，其中 {frozen} 个已冻结，{size}",
        ),
        "bytes": ("{count} bytes", "{count} 字节"),
        "unbuilt": (
            "{name} is not built yet: give it a keras.Input, or train it, to see its shapes",
            "{name} 尚未构建：给它一个 keras.Input 或训练它，即可看到各层形状",
        ),
    }
)
