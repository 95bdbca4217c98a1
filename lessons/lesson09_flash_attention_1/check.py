"""What `make check-lesson9` checks."""

from lessons.attention_cases import case
from lessons.flash_lesson import flash_lesson
from lessons.lesson09_flash_attention_1.mistakes import MISTAKES

LESSON = flash_lesson(
    number=9,
    name="flash_attention_1",
    title="FlashAttention-1: the N x N matrix never exists",
    package="flash_v1",
    mistakes=MISTAKES,
    timed=case(4096, 4096, batch=4, heads=32, head_dim=64, dtype="float16"),
)
