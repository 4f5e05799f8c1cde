"""What all pages that people read share: one base, one style sheet, macros for numbers with intervals."""
