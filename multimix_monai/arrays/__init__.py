"""The arithmetic of the path of data, in numpy alone: where there is no torch it runs too.

The rooms behind call these functions, and wrap them for MONAI: there is one preprocessing.
"""
