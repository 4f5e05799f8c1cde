"""One reader a kind of file: DICOM, NIfTI, NRRD and MetaImage, rasters, series, archives."""
