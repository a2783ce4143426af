package main

import "github.com/alecthomas/kong"

// command is one entry of the command table.
type command struct {
	name, help, group string
	make              func() any
}

var groups = []kong.Group{
	{Key: "fleet", Title: "The fleet, as a wire.yaml describes it:"},
	{Key: "sessions", Title: "Sessions of this machine:"},
	{Key: "messages", Title: "Messages:"},
	{Key: "processes", Title: "Processes:"},
}

// commands is the table, in the order of the help.
func commands() []command {
	return []command{
		{"apply", "Make the machine as the file says.", "fleet", func() any { return new(applyCmd) }},
		{"plan", "Show what apply would do; touches nothing.", "fleet", func() any { return new(planCmd) }},
		{"status", "Show the fleet as it is.", "fleet", func() any { return new(statusCmd) }},
		{"down", "Stop the file's daemons and relay; deletes nothing.", "fleet", func() any { return new(downCmd) }},
		{"destroy", "Stop and delete the file's sessions, keys included.", "fleet", func() any { return new(destroyCmd) }},
		{"export", "Print a wire.yaml for the machine as it is.", "fleet", func() any { return new(exportCmd) }},
		{"validate", "Check a wire.yaml.", "fleet", func() any { return new(validateCmd) }},
		{"schema", "Print the JSON Schema of wire.yaml.", "fleet", func() any { return new(schemaCmd) }},
		{"session", "List sessions and look at their mesh.", "sessions", func() any { return new(sessionCmd) }},
		{"send", "Queue a signed message for a peer.", "messages", func() any { return new(sendCmd) }},
		{"push", "Post what is queued.", "messages", func() any { return new(pushCmd) }},
		{"pull", "Fetch new messages into the inbox.", "messages", func() any { return new(pullCmd) }},
		{"tail", "Print the messages of the inbox.", "messages", func() any { return new(tailCmd) }},
		{"monitor", "Print messages as they arrive.", "messages", func() any { return new(monitorCmd) }},
		{"verify", "Check the signature of one event.", "messages", func() any { return new(verifyCmd) }},
		{"mesh", "Reach all peers, or one by its role.", "messages", func() any { return new(meshCmd) }},
		{"daemon", "Serve a session: push and pull as things happen.", "processes", func() any { return new(daemonCmd) }},
		{"relay-server", "Serve mailboxes over HTTP.", "processes", func() any { return new(relayCmd) }},
	}
}

func find(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

// selected are the commands whose model is needed for args: one where the first argument names it.
func selected(args []string) []command {
	if len(args) > 0 {
		if c, ok := find(args[0]); ok {
			return []command{c}
		}
	}
	return commands()
}
