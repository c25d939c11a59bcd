"""What a request costs us, beside what people would pick instead."""
