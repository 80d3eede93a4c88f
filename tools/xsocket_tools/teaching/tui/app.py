"""The application: the ladder, the panels beside or below it, the keys. What is shown is made elsewhere."""

from __future__ import annotations

from typing import ClassVar, Final

from rich.console import Group, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Footer, Static

from xsocket_tools.teaching.folding import folded
from xsocket_tools.teaching.report.details import Detail, details
from xsocket_tools.teaching.story import Story
from xsocket_tools.teaching.tui import panels
from xsocket_tools.teaching.tui.printable import printable
from xsocket_tools.teaching.tui.rows import Piece, Rows, legend

WIDE: Final = 120
"""From this many columns on, the panels are beside the ladder and not below it."""
NARROW: Final = 76
"""With fewer columns than this, each panel is below the one before."""
_KEYS: Final = (
    ("↓ → j n", "the next step"),
    ("↑ ← k p", "the step before"),
    ("Home g", "the first step"),
    ("End G", "the last step"),
    ("PgDn Space", "more of what there is to say of the step"),
    ("PgUp b", "back up in it"),
    ("a", "sequence numbers as they are on the wire, or counted from each end's SYN"),
    ("t", "light or dark"),
    ("? h", "this help"),
    ("q", "quit"),
    ("click", "show the step of a row"),
)


class Ladder(ScrollView):
    """The rows of a story, with one of them chosen.

    Args:
        rows: What to show.
    """

    class Chosen(Message):
        """A row was clicked.

        Args:
            at: Which one, from 0.
        """

        def __init__(self, at: int) -> None:
            super().__init__()
            self.at = at

    class Resized(Message):
        """There is another width for rows."""

    can_focus = False
    ALLOW_SELECT = False
    LOOKS: ClassVar[tuple[str, ...]] = (
        *("name", "here", "muted", "state", "moved"),
        *("left", "right", "alarm", "timer", "pool"),
    )
    COMPONENT_CLASSES: ClassVar[set[str]] = {*(f"row--{look}" for look in LOOKS), "row--current"}
    DEFAULT_CSS = """
    Ladder { height: 1fr; width: 1fr; overflow-x: hidden; overflow-y: auto; }
    Ladder { scrollbar-gutter: stable; scrollbar-size-vertical: 1; }
    Ladder > .row--muted { color: $text-muted; }
    Ladder > .row--name, Ladder > .row--moved, Ladder > .row--here { text-style: bold; }
    Ladder > .row--left { color: $text-success; }
    Ladder > .row--right { color: $text-primary; }
    Ladder > .row--alarm { color: $text-error; }
    Ladder > .row--timer { color: $text-warning; }
    Ladder > .row--pool { color: $text-accent; }
    Ladder > .row--current { background: $primary-muted; }
    """
    current = reactive(0)
    absolute = reactive(False)

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self._rows = rows

    def on_mount(self) -> None:
        """Take as much room as there are rows."""
        self._make_room()

    def on_resize(self) -> None:
        """Keep the chosen row in view."""
        self._make_room()
        self._keep_in_view()
        self.post_message(self.Resized())

    def watch_current(self) -> None:
        """Keep the chosen row in view."""
        self._keep_in_view()

    def on_click(self, event: Click) -> None:
        """Choose the row under the mouse."""
        at = event.y + self.scroll_offset.y
        if event.y >= 0 and at < len(self._rows):
            self.post_message(self.Chosen(at))

    def render_line(self, y: int) -> Strip:
        """Draw the row that is at *y* now."""
        at, width = y + self.scroll_offset.y, self.row_width
        if at >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        is_here = at == self.current
        pieces = self._rows.row(at, width, is_here=is_here, absolute=self.absolute)
        return self._strip(pieces, width, is_here=is_here)

    def _strip(self, pieces: list[Piece], width: int, *, is_here: bool) -> Strip:
        style = self.rich_style
        if is_here:
            style += self.get_component_rich_style("row--current", partial=True)
        segments = []
        for piece in pieces:
            look = self._look(piece.look, is_here=is_here) if piece.look else Style()
            segments.append(Segment(piece.text, style + look))
        return Strip(segments).adjust_cell_length(width, style)

    def _look(self, look: str, *, is_here: bool) -> Style:
        """Return how a piece looks; in the chosen row without a colour, which would be hard to read there."""
        found = self.get_component_rich_style(f"row--{look}")
        return Style(color=None if is_here else found.color, bold=found.bold)

    @property
    def row_width(self) -> int:
        """How much of the width is not the scroll bar's."""
        return self.scrollable_content_region.width

    def _make_room(self) -> None:
        self.virtual_size = Size(self.row_width, len(self._rows))

    def _keep_in_view(self) -> None:
        # With the row before it and the one after it.
        region = Region(0, max(self.current - 1, 0), self.row_width, 3)
        self.scroll_to_region(region, animate=False, force=True)


class Help(ModalScreen[None]):
    """The keys, and the signs of the ladder."""

    DEFAULT_CSS = """
    Help { align: center middle; }
    Help > VerticalScroll { width: 76; max-width: 100%; height: auto; max-height: 100%; }
    Help > VerticalScroll { border: round $primary; padding: 0 1; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,h,enter,space", "dismiss", "close"),
    ]

    def __init__(self, story: Story) -> None:
        super().__init__()
        self._story = story

    def compose(self) -> ComposeResult:
        """Lay it out."""
        table = Table.grid(padding=(0, 2, 0, 0))
        for key, what in (*_KEYS, ("", ""), *legend(self._story)):
            table.add_row(Text(key, style="bold"), Text(what))
        close = Text("\nEscape closes this.", style="italic")
        with VerticalScroll():
            yield Static(Group(Text("Keys and signs", style="bold underline"), table, close))


class Stepper(App[None]):
    """Steps through a story.

    Args:
        story: What to show.
        connection: The number of the only one to show, from 0; all of them without it.
        absolute: Whether sequence numbers are as they are on the wire, to begin with.

    Attributes:
        current: Which of the steps that are shown is chosen, from 0.
        absolute: Whether sequence numbers are as they are on the wire.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #bar { height: 1; background: $primary-muted; }
    #title { width: 1fr; height: 1; text-style: bold; padding: 0 1; }
    #place { width: auto; height: 1; padding: 0 1; }
    #notes { height: auto; max-height: 3; padding: 0 1; color: $text-warning; }
    #body { height: 1fr; }
    #ladder { height: 1fr; }
    #heading { height: 1; }
    #details { height: 1fr; border-top: solid $primary; padding: 0 1; scrollbar-size-vertical: 1; }
    #parts { layout: vertical; height: auto; }
    #parts > Vertical { height: auto; width: 1fr; }
    #parts > #ends { width: 1fr; height: auto; margin-bottom: 1; }
    .halves #parts { layout: horizontal; }
    .halves #parts > #ends { width: 49; margin-right: 2; }
    .wide #body { layout: horizontal; }
    .wide #ladder { width: 3fr; }
    .wide #details { width: 2fr; border-top: none; border-left: solid $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,right,j,n", "step(1)", "next", key_display="↓"),
        Binding("up,left,k,p", "step(-1)", "back", key_display="↑"),
        Binding("home,g", "first", "first", key_display="Home"),
        Binding("end,G", "last", "last", key_display="End"),
        Binding("pagedown,space", "page(1)", "more", key_display="PgDn"),
        Binding("pageup,b", "page(-1)", "less", show=False),
        Binding("a", "numbers", "absolute"),
        Binding("t", "light", "theme", show=False),
        Binding("question_mark,h", "help", "help", key_display="?"),
        Binding("q,ctrl+c", "quit", "quit", key_display="q"),
    ]
    current = reactive(0, init=False)
    absolute = reactive(False, init=False)

    def __init__(self, story: Story, *, connection: int | None = None, absolute: bool = False) -> None:
        super().__init__()
        self._story = story = folded(story) if connection is None else story
        self._details = [each for each in details(story) if connection in (None, each.step.connection)]
        self._rows = Rows(story, self._details)
        self.set_reactive(Stepper.absolute, absolute)

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Horizontal(id="bar"):
            yield Static(Text(printable(self._story.title), no_wrap=True, overflow="ellipsis"), id="title")
            yield Static(id="place")
        if self._story.notes:
            yield Static(Text("\n".join(printable(note) for note in self._story.notes)), id="notes")
        with Container(id="body"):
            with Vertical(id="ladder"):
                yield Static(id="heading")
                yield Ladder(self._rows)
            with VerticalScroll(id="details", can_focus=False):
                yield Static(id="said")
                with Container(id="parts"):
                    yield Static(id="ends")
                    with Vertical():
                        yield Static(id="reasons")
                        yield Static(id="segment")
                        yield Static(id="held")
        yield Footer()

    def on_mount(self) -> None:
        """Show the first step."""
        self._show()

    def on_resize(self, event: Resize) -> None:
        """Put the panels where there is room for them."""
        screen, is_wide = self.screen_stack[0], event.size.width >= WIDE
        screen.set_class(is_wide, "wide")
        screen.set_class(not is_wide and event.size.width >= NARROW, "halves")
        # Below each other, the ladder has its share of the height, and no more than it takes.
        share = max(event.size.height * 2 // 5, 4)
        screen.query_one("#ladder").styles.height = "1fr" if is_wide else min(share, len(self._rows) + 1)

    def on_ladder_chosen(self, message: Ladder.Chosen) -> None:
        """Show the step of a row that was clicked."""
        self.current = message.at

    def on_ladder_resized(self) -> None:
        """Fit the heading to the ladder, and the panels to the room there is now."""
        self._show()

    # Keys

    def action_step(self, by: int) -> None:
        """Go to another step; stop at the first one and at the last one."""
        self.current = self.current + by

    def action_first(self) -> None:
        """Go to the first step."""
        self.current = 0

    def action_last(self) -> None:
        """Go to the last step."""
        self.current = len(self._rows) - 1

    def action_page(self, by: int) -> None:
        """Show more of what there is to say of the step."""
        panel = self.query_one("#details")
        (panel.scroll_page_down if by > 0 else panel.scroll_page_up)(animate=False)

    def action_numbers(self) -> None:
        """Count sequence numbers in the other way."""
        self.absolute = not self.absolute

    def action_light(self) -> None:
        """Change between light and dark."""
        self.theme = "textual-light" if self.current_theme.dark else "textual-dark"

    def action_help(self) -> None:
        """Show the keys and the signs."""
        self.push_screen(Help(self._story))

    # What changes

    def validate_current(self, current: int) -> int:
        """Return the step nearest to *current* that there is."""
        return max(0, min(current, len(self._rows) - 1))

    def watch_current(self) -> None:
        """Show the step, from its beginning."""
        self.screen_stack[0].query_one("#details").scroll_home(animate=False)
        self._show()

    def watch_absolute(self) -> None:
        """Show the numbers."""
        self._show()

    def _show(self) -> None:
        screen = self.screen_stack[0]
        ladder = screen.query_one(Ladder)
        ladder.absolute, ladder.current = self.absolute, self.current
        heading = screen.query_one("#heading", Static)
        names = Text(no_wrap=True, end="")
        for piece in self._rows.heading(ladder.row_width, absolute=self.absolute):
            names.append(piece.text, "bold" if piece.look == "name" else "")
        heading.update(names)
        numbers = "absolute" if self.absolute else "relative"
        if not self._details:
            screen.query_one("#said", Static).update(Text("Nothing happened."))
            return
        detail = self._details[self.current]
        self._say("place", Text(f"step {self.current + 1} of {len(self._rows)}, {numbers} numbers"))
        self._say_all(detail, is_wide=screen.has_class("wide"))

    def _say_all(self, detail: Detail, *, is_wide: bool) -> None:
        story, absolute = self._story, self.absolute
        width = self.screen_stack[0].query_one(Ladder).row_width
        names_it = self._rows.names_connection(width, absolute=absolute)
        self._say("said", panels.said_first(detail, absolute=absolute, with_connection=not names_it))
        self._say("ends", panels.both_ends(story, detail, absolute=absolute, changed_first=not is_wide))
        self._say("reasons", panels.reasons(detail))
        self._say("segment", panels.segment(detail, absolute=absolute))
        self._say("held", panels.held(story, detail, is_narrow=not is_wide))

    def _say(self, where: str, what: RenderableType) -> None:
        panel = self.screen_stack[0].query_one(f"#{where}", Static)
        panel.display = what != ""
        panel.update(what)
