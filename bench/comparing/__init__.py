"""What bench/compare is made of.

command.py reads the arguments and builds; allocators.py finds the libraries; programs.py names the
real programs, each a Program (program.py) of interpreters.py, tools.py or servers.py, on what inputs.py
makes; runs.py measures one run and interleaves many; micro.py times single pairs; report.py
and chart.py turn samples into a table, JSON and a picture.

bench/resident is resident.py, and resident_figures.py for its rows.
bench/pages/compare is pages.py, and page_runs.py for its runs.
"""
