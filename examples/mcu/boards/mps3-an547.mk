CROSS := arm-none-eabi-
CPU := -mcpu=cortex-m55 -mthumb -mfloat-abi=hard
QEMU := qemu-system-arm -machine mps3-an547
START := start_arm.c
MHZ := 32
