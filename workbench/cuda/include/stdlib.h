// What a kernel uses of it is the compiler's own.
