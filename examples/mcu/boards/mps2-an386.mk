CROSS := arm-none-eabi-
CPU := -mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard
QEMU := qemu-system-arm -machine mps2-an386
START := start_arm.c
MHZ := 25
