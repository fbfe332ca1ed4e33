"""Mining: rules that follow from what people labeled, as YAML says them, and how often each is right elsewhere."""
