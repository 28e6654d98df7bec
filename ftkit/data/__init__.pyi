from .chat import count_answer_tokens as count_answer_tokens
from .chat import to_messages as to_messages
from .mixing import first as first
from .mixing import mix as mix
from .mixing import replace_answers as replace_answers
from .sets import load as load
from .sets import read as read
from .sets import test_rows as test_rows
