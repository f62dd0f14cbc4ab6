"""What people write into prompts: weights, schedules, tags of styles and chunks of tokens, in A1111's and ComfyUI's grammar."""
