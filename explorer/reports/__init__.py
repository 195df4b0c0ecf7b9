"""Reports: from the store to tables, figures and one self-contained page; and drawings of networks.

`from explorer.reports.report import write_report`; `from explorer.reports.export import export_table`;
`from explorer.reports.drawing import draw`.
"""
