"""What several test files share: two stacks on a virtual cable, and segments written the short way."""
