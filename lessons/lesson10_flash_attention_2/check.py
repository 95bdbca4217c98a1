"""What `make check-lesson10` checks."""

from lessons.attention_cases import case
from lessons.flash_lesson import flash_lesson
from lessons.lesson10_flash_attention_2.mistakes import MISTAKES

LESSON = flash_lesson(
    number=10,
    name="flash_attention_2",
    title="FlashAttention-2: fewer other operations, more parallel work",
    package="flash_v2",
    mistakes=MISTAKES,
    timed=case(4096, 4096, batch=4, heads=32, head_dim=64, dtype="float16"),
)
