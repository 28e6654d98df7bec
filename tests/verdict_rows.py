"""Rows of the ledger as their tests look at them: settled once, and with other figures."""


class Rows:
    """claims: by id. found: those that are cheap to measure, as they are settled."""

    def __init__(self, claims):
        self.claims = {claim.id: claim for claim in claims}
        self.found = {name: one.settle() for name, one in self.claims.items() if not one.dear}

    def figure(self, row, start):
        """The figure of a row whose name begins so."""
        (found,) = (one for one in self.found[row].figures if one.what.startswith(start))
        return found

    def moved(self, row, *changes):
        """The row's word, had figures come out as these values, and nothing else changed."""
        figures = list(self.found[row].figures)
        for start, value in changes:
            place = figures.index(self.figure(row, start))
            figures[place] = figures[place]._replace(value=value, low=value, high=value)
        return self.claims[row].verdict(figures)
