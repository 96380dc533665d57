"""What fits Undercroft to other people's frameworks; each module needs the extra that it names."""
