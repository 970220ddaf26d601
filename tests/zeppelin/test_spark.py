"""Training in the paragraphs of Zeppelin's Spark interpreters, on the Spark that Zeppelin has made."""

from __future__ import annotations

import contextlib
import re

import fetched
import psutil
import pytest
from waiting import wait_for
from zeppelin.test_training import (
    COMPARE,
    DIGITS,
    LEFT,
    Held,
    cancel_at_a_chart,
    pages,
    picture,
    printed,
    run_held,
    texts,
    updates,
)

OLDEST, NEWEST = fetched.SPARKS


#: An interpreter, a Spark and a kernel of its own; test_training.py has the same in the interpreter python.
pytestmark = pytest.mark.soak

on_each = pytest.mark.parametrize("spark", [OLDEST, NEWEST], indirect=True, scope="session")

FRAME = """
import pandas as pd
frame = spark.createDataFrame(pd.DataFrame(x, columns=list("abcdefgh")).assign(label=y))
"""


def paragraph(body, interpreter="spark.ipyspark"):
    return f"%{interpreter}\n{body}\n"


def cell(body, options="", setup=DIGITS):
    return paragraph(f"%%keras_spark {options}\n{setup}{body}")


@pytest.fixture
def frame(zeppelin, spark):
    """Made from Zeppelin's ``spark``, where later paragraphs find it."""
    printed(zeppelin.note(paragraph(DIGITS + FRAME)), 0)


@pytest.fixture(scope="module")
def trained(zeppelin, spark, tmp_path_factory):
    """A training that was listened to: the note and what was heard."""
    held = Held(tmp_path_factory.mktemp("held"))
    note = zeppelin.note(
        paragraph(DIGITS + FRAME),
        cell(
            f'print("before <b>", sc.getLocalProperty("spark.jobGroup.id"))\n{held.code}\n'
            'history = model.fit(frame, y="label", epochs=20, callbacks=[held])\n'
            'print("after", sc.getLocalProperty("spark.jobGroup.id"))',
            "--workers 2",
        ),
    )
    printed(note, 0)
    return note, run_held(note, 1, held)


@on_each
def test_the_attached_spark_is_zeppelins_own(zeppelin, spark):
    note = zeppelin.note(
        paragraph(
            "import nbkeras.spark.session\nof_jvm = gateway.jvm.org.apache.spark.SparkContext.getOrCreate()\n"
            "mine = nbkeras.spark.session.attached().sparkContext\n"
            "print(mine.applicationId == spark.sparkContext.applicationId == of_jvm.applicationId())"
        ),
        paragraph("%keras_spark status"),
    )
    assert printed(note, 0) == "True\n"
    assert f"Spark {spark} at local[2], 2 slots\n" in printed(note, 1)


@on_each
def test_exactly_one_output_is_replaced_while_the_paragraph_runs_and_its_last_chart_is_stored(trained):
    note, heard = trained
    shown = updates(heard)
    assert len({one["index"] for one in shown}) == 1
    charts = {picture(one["data"]).tobytes() for one in shown if "<img" in one["data"]}
    assert len(charts) > 3
    (html,) = pages(note.result(1))
    assert picture(html).width > 400
    assert "finished 20 epochs" in html


@on_each
def test_what_the_user_prints_arrives_whole_and_apart_from_the_chart(trained):
    note, heard = trained
    said = texts(note.result(1))
    assert re.findall(r"<told> (\d+)\n", said) == [str(epoch) for epoch in range(20)]
    assert said.index("before <b>") < said.index("<told> 0") < said.index("after")
    assert not any("told" in one["data"] or "before" in one["data"] for one in updates(heard))


@on_each
def test_the_progress_bar_is_that_of_the_training(trained):
    _, heard = trained
    progress = heard.progress()
    assert progress == sorted(progress)
    assert len(set(progress)) > 3


@on_each
def test_training_leaves_the_paragraph_in_its_own_job_group(trained):
    note, _ = trained
    before, after = re.search(r"before <b> (\S+)\n.*after (\S+)\n", texts(note.result(1)), re.DOTALL).groups()
    assert note.paragraphs[1] in before
    assert after == before


@on_each
def test_the_history_is_that_of_plain_keras(zeppelin, frame):
    fit = "epochs=3, shuffle=False, verbose=0).history"
    note = zeppelin.note(
        paragraph(f"{DIGITS}theirs = model.fit(x, y, {fit}"),
        cell(f'ours = model.fit(frame, y="label", {fit}', "--workers 2"),
        paragraph(
            "print(ours.keys() == theirs.keys(), [name for name in theirs "
            "if not np.allclose(ours[name], theirs[name], rtol=1e-5, atol=0)])"
        ),
    )
    printed(note, 0)
    printed(note, 1)
    assert printed(note, 2) == "True []\n"


@on_each
def test_evaluate_and_predict_work_and_z_show_makes_a_table(zeppelin, frame):
    note = zeppelin.note(
        cell(
            'model.fit(frame, y="label")\nvalues = model.evaluate(frame, y="label")\n'
            "scored = model.predict(frame)\nprint('evaluated', len(values))"
        ),
        paragraph("z.show(scored.limit(3))"),
    )
    assert "evaluated 2\n" in printed(note, 0)
    (table,) = note.run(1)["msg"]
    assert table["type"] == "TABLE"
    rows = [line.split("\t") for line in table["data"].strip().splitlines()]
    assert rows[0] == [*"abcdefgh", "label", "prediction"]
    assert len(rows) == 4


@on_each
@pytest.mark.parametrize("workers", [1, 2])
def test_cancel_in_an_epoch_keeps_weights_and_history_and_spark_works_on(zeppelin, frame, workers):
    note = zeppelin.note(
        cell(
            "before = model.get_weights()[0]\n"
            'history = model.fit(frame, y="label", epochs=9000, batch_size=2)',
            f"--workers {workers}",
        ),
        paragraph(
            "print(len(history.history['loss']) > 0, (model.get_weights()[0] != before).any(), frame.count())"
        ),
        cell('model.fit(frame, y="label")', f"--workers {workers}", setup=""),
    )
    cancel_at_a_chart(note)
    assert printed(note, 1) == "True True 2000\n"
    assert "finished 1 epoch" in "".join(pages(note.run(2)))


@on_each
def test_an_error_is_one_line(zeppelin, frame):
    note = zeppelin.note(
        cell('model.fit(frame, y="lable")'), cell('model.fit(frame, y="label")', "--wrokers 2")
    )
    assert re.fullmatch(r"DataError: [^\n]+", texts(note.run(0)).strip())
    assert texts(note.run(1)).strip() == "OptionError: unknown option --wrokers; did you mean --workers?"


@on_each
def test_spark_pyspark_is_the_same_ipython(zeppelin, frame):
    note = zeppelin.note(
        paragraph('%%keras_spark --workers 2\nrun = model.fit(frame, y="label", epochs=30)', "spark.pyspark")
    )
    with zeppelin.listen(note) as heard:
        result = note.run(0)
    assert result["code"] == "SUCCESS", result
    (html,) = pages(result)
    assert "finished 30 epochs" in html
    assert len(updates(heard)) > 3


@on_each
def test_plain_pyspark_shows_the_chart_and_says_how_to_get_the_magics(zeppelin, plain_spark):
    code = (DIGITS + FRAME).replace("\n\n", "\n")
    note = zeppelin.note(
        paragraph(
            f"import nbkeras\n{code}print('before', 'get_ipython' in globals())\n"
            'run = nbkeras.fit(model, frame, "label", epochs=30)\nprint("after", run.status)',
            f"{plain_spark}.pyspark",
        )
    )
    with zeppelin.listen(note) as heard:
        result = note.run(0)
    assert result["code"] == "SUCCESS", result
    (html,) = pages(result)
    picture(html)
    assert "need Zeppelin&#x27;s IPython mode: nbkeras zeppelin says how to get it" in html
    said = texts(result)
    assert "before False\n" in said
    assert said.endswith("after finished\n")
    assert len(updates(heard)) > 3


@on_each
def test_runs_in_a_row_leave_nothing_behind_in_the_kernel(zeppelin, frame):
    left = LEFT.removeprefix("%python.ipython\n")
    note = zeppelin.note(
        cell('model.fit(frame, y="label")'),
        paragraph(left),
        paragraph(COMPARE),
    )
    printed(note, 0)
    printed(note, 1)
    for _ in range(3):
        printed(note, 0)
    assert printed(note, 2) == "True [] set()\n"


@on_each
def test_a_restart_ends_all_that_training_has_started(zeppelin, frame):
    printed(zeppelin.note(cell('model.fit(frame, y="label")', "--workers 2")), 0)
    assert any("nbkeras" in line for line in of_spark(zeppelin)), "the trainers' server"
    zeppelin.restart("spark")
    wait_for(lambda: not of_spark(zeppelin), "all processes to end")


def of_spark(zeppelin):
    """The commands of what the interpreter spark has started, also where it no longer descends from it."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            known = one.environ()
            if known.get("ZEPPELIN_LOG_DIR") == str(zeppelin.root / "logs") and "SPARK_CLASSES" in known:
                found.append(" ".join(one.cmdline()))
    return found
