"""The built-in data: phantom chest radiographs, drawn and written as DICOM files."""
