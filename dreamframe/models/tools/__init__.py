"""What a model may call: functions and servers of tools, and the turns that call them."""
