"""The parts of bench/compare and bench/performance_report."""
