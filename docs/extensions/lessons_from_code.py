"""The directives ``lesson-list``, ``lesson-ladder`` and ``lesson-questions``: a lesson, as a run has it.

And ``lesson-variables``: what the variables beside its steps mean.
"""

from functools import cache
from html import escape

from docutils import nodes  # type: ignore[import-untyped]
from generated import Generated, linked, table
from pictures import placed
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from xsocket_tools.teaching.glossary import MEANINGS
from xsocket_tools.teaching.lesson import Lesson, Run, lesson, lessons, play
from xsocket_tools.teaching.report import ladder_picture


class LessonList(Generated):
    """A table of the lessons."""

    @staticmethod
    def text() -> str:
        """Return it."""
        rows = (
            (f"[{each.number}. {each.title}]({each.number:02}-{each.name}/lesson.md)", each.objective)
            for each in lessons()
        )
        return table(("Lesson", "Objective"), rows)


class LessonVariables(Generated):
    """A table of the variables, and what each means."""

    @staticmethod
    def text() -> str:
        """Return it."""
        rows = ((f"`{name}`", meaning.sentence, linked(meaning.rule)) for name, meaning in MEANINGS.items())
        return table(("Variable", "Meaning", "Defined in"), rows)


@cache
def _run(number: int) -> tuple[Lesson, Run]:
    """Return a lesson and its run on the engine, at the time of the build."""
    found = lesson(number)
    return found, play(found.play, "engine", found.rules, title=found.title)


class LessonLadder(SphinxDirective):
    """The ladder of a lesson's run."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        self.env.note_reread()
        _, run = _run(int(self.arguments[0]))
        caption = "<p>A run on the engine, in virtual time; rows are steps, and no measure of time.</p>\n"
        return [placed(caption + ladder_picture(run.story))]


class LessonQuestions(SphinxDirective):
    """The questions of a lesson; each answer is folded, and comes from a run at the time of the build."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        self.env.note_reread()
        found, run = _run(int(self.arguments[0]))
        parts = []
        for number, each in enumerate(found.questions, 1):
            answer = escape(each.answered(run) or "")
            parts.append(
                f"<p><strong>{number}.</strong> {escape(each.text)}</p>\n<details><summary>Answer</summary>\n"
                f"<p><strong>{answer}</strong></p>\n<p>{escape(each.why)}</p>\n</details>"
            )
        return [nodes.raw("", "\n".join(parts), format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Let pages use them."""
    app.add_directive("lesson-list", LessonList)
    app.setup_extension("pictures")
    app.add_directive("lesson-ladder", LessonLadder)
    app.add_directive("lesson-questions", LessonQuestions)
    app.add_directive("lesson-variables", LessonVariables)
    return {"parallel_read_safe": True}
