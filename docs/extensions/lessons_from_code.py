"""The directives ``lesson-list``, and ``lesson-questions``: what a lesson asks, answered by a run."""

from html import escape

from docutils import nodes  # type: ignore[import-untyped]
from generated import Generated, table
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from xsocket_tools.teaching.lesson import lesson, lessons, play


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


class LessonQuestions(SphinxDirective):
    """The questions of a lesson; each answer is folded, and comes from a run at the time of the build."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        self.env.note_reread()
        found = lesson(int(self.arguments[0]))
        run = play(found.play, "engine", found.rules, title=found.title)
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
    app.add_directive("lesson-questions", LessonQuestions)
    return {"parallel_read_safe": True}
