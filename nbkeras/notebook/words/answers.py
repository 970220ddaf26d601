"""What commands answer, and what a place does not offer."""

from __future__ import annotations

from nbkeras.notebook.words.language import Words

#: What the line magics answer.
ANSWERS = Words(
    {
        "stop": ("Stopping {name} after the batch in work.", "{name} 将在这一批结束后停止。"),
        "pause": (
            "Pausing {name} after the batch in work: %keras_spark resume goes on.",
            "{name} 将在这一批结束后暂停：用 %keras_spark resume 继续。",
        ),
        "resume": ("{name} goes on.", "{name} 继续训练。"),
        "learning_rate": (
            "{name} takes the learning rate {rate} with its next batch.",
            "{name} 从下一批起使用学习率 {rate}。",
        ),
        "none": ("No training is at work.", "没有正在进行的训练。"),
        "outside": (
            "This is a Spark DataFrame: begin the cell with %%keras_spark, and {method} runs on Spark.",
            "这是 Spark DataFrame：在单元格第一行写 %%keras_spark，{method} 就会在 Spark 上运行。",
        ),
        "form_tick": (
            (
                "Tick Train and run the paragraph again to train this network. Untick it before you change "
                "the form: Zeppelin runs a paragraph at every change of a list."
            ),
            (
                "勾选 Train 并重新运行本段落即可训练此网络。修改表单前请取消勾选：每次更改列表，"
                "Zeppelin 都会运行段落。"
            ),
        ),
        "chart_failed": (
            "The live chart stopped ({error}); the training goes on.",
            "实时图表已停止（{error}）；训练仍在进行。",
        ),
    }
)

#: What is not to be had in this place, and what is there instead.
PLACES = Words(
    {
        "zeppelin_stop": (
            "Cancel (❚❚) finishes this batch and keeps the weights and the history.",
            "取消（❚❚）会完成这一批，并保留权重和历史。",
        ),
        "zeppelin_plain": (
            "The %%keras_spark magics need Zeppelin's IPython mode: nbkeras zeppelin says how to get it.",
            "%%keras_spark 需要 Zeppelin 的 IPython 模式：运行 nbkeras zeppelin 查看如何启用。",
        ),
        "wait_java": ("Starting Java and Spark…", "正在启动 Java 与 Spark…"),
        "wait_keras": ("Importing Keras…", "正在导入 Keras…"),
        "wait_tensorflow": ("Importing TensorFlow…", "正在导入 TensorFlow…"),
        "wait_evaluate": ("Evaluating on Spark…", "正在 Spark 上评估…"),
        "wait_read": ("Listing files on Spark…", "正在 Spark 上列出文件…"),
        "wait_report": ("Reporting on Spark…", "正在 Spark 上生成报告…"),
        "wait_compare": ("Training a model to compare, on Spark…", "正在 Spark 上训练一个对比模型…"),
        "wait_adapt": ("Looking at the rows on Spark…", "正在 Spark 上查看数据…"),
        "wait_predict": ("Predicting on Spark…", "正在 Spark 上预测…"),
        "dashboard": ("nbkeras", "nbkeras"),
        "dashboard_empty": (
            "The next training of this note is shown here.",
            "本笔记的下一次训练将显示在这里。",
        ),
        "only_form": (
            (
                "%keras_spark form draws a form of Zeppelin, and this is no Zeppelin: %keras_spark build "
                "builds a network here, or write the model in a cell with %%keras_spark"
            ),
            (
                "%keras_spark form 绘制 Zeppelin 表单，而这里不是：请用 %keras_spark build 构建网络，"
                "或在带有 %%keras_spark 的单元格中编写模型"
            ),
        ),
        "only_dashboard": (
            (
                "%keras_spark dashboard is for Zeppelin, and this is no Zeppelin: "
                "here every chart is live in its own cell"
            ),
            "%keras_spark dashboard 用于 Zeppelin，此处不是：每张图表都在自己的单元格里更新",
        ),
        "build_zeppelin": (
            "%keras_spark build needs a notebook with widgets; here %keras_spark form draws a form",
            "%keras_spark build 需要支持小部件的笔记本；此处请用 %keras_spark form 绘制表单",
        ),
        "build_terminal": (
            (
                "%keras_spark build needs a notebook with widgets, such as JupyterLab; "
                "here write the model in a cell with %%keras_spark"
            ),
            (
                "%keras_spark build 需要支持小部件的笔记本，例如 JupyterLab；"
                "此处请在带有 %%keras_spark 的单元格中编写模型"
            ),
        ),
    }
)
