"""Pictures: fields to colours, colours to images. Arrays in, images out; nothing here makes a field."""
