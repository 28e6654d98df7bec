from . import guides as guides
from .exercise import Feedback as Feedback
from .exercise import check as check
from .exercise import check_lora as check_lora
from .guides import check_scripts as check_scripts
