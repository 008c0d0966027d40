CROSS := arm-none-eabi-
CPU := -mcpu=cortex-m7 -mthumb -mfpu=fpv5-d16 -mfloat-abi=hard
QEMU := qemu-system-arm -machine mps2-an500
START := start_arm.c
MHZ := 25
