package notify

// asShown is a text as osascript gets it: as it is.
func asShown(s string) string { return s }

// options are what the program gets in front of the texts.
const options = ""
