from . import statistics as statistics
from .errors import UserError as UserError
from .errors import nearest as nearest
from .files import (
    data_path as data_path,
    whole_or_nothing as whole_or_nothing,
    write_rows as write_rows,
    write_whole as write_whole,
)
from .files import (
    data_path as data_path,
    whole_or_nothing as whole_or_nothing,
    write_rows as write_rows,
    write_whole as write_whole,
)
from .results import Result as Result
from .results import Table as Table
from .results import about as about
from .results import percent as percent
from .results import percent_in as percent_in
from .session import Environment as Environment
from .session import chosen_model as chosen_model
from .session import device_and_dtype as device_and_dtype
from .session import quiet as quiet
from .session import setup as setup
from .statistics import (
    Interval as Interval,
    Range as Range,
    mean_and_range as mean_and_range,
    Difference as Difference,
)
from .statistics import (
    Interval as Interval,
    Range as Range,
    mean_and_range as mean_and_range,
    Rate as Rate,
)
from .statistics import (
    Interval as Interval,
    Range as Range,
    mean_and_range as mean_and_range,
    compare_answers as compare_answers,
)
from .statistics import (
    Interval as Interval,
    Range as Range,
    mean_and_range as mean_and_range,
    mcnemar as mcnemar,
)
from .statistics import (
    Interval as Interval,
    Range as Range,
    mean_and_range as mean_and_range,
    median_ratio as median_ratio,
)
from .statistics import (
    Interval as Interval,
    Range as Range,
    mean_and_range as mean_and_range,
    paired_difference as paired_difference,
)
from .statistics import (
    Interval as Interval,
    Range as Range,
    mean_and_range as mean_and_range,
    rate_difference as rate_difference,
)
from .statistics import (
    Interval as Interval,
    Range as Range,
    mean_and_range as mean_and_range,
    rows_needed as rows_needed,
)
