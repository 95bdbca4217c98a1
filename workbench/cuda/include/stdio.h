// printf is the compiler's own.
