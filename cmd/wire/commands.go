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
	{Key: "identity", Title: "Identity and slot:"},
	{Key: "peers", Title: "Peers:"},
	{Key: "messages", Title: "Messages:"},
	{Key: "processes", Title: "Processes:"},
	{Key: "upkeep", Title: "Looking after it:"},
	{Key: "later", Title: "Not there yet:"},
}

// aliases are second names of commands.
var aliases = map[string]string{"join": "pair-join"}

// commands is the table, in the order of the help.
func commands() []command {
	return []command{
		{"apply", "Make the machine as the file says.", "fleet", func() any { return new(applyCmd) }},
		{"plan", "Show what apply would do; touches nothing.", "fleet", func() any { return new(planCmd) }},
		{"status", "Show the fleet as it is.", "fleet", func() any { return new(statusCmd) }},
		{"drift", "Say what differs from the file.", "fleet", func() any { return new(driftCmd) }},
		{"wait", "Wait until the machine is as the file says; only looks.", "fleet", func() any { return new(waitCmd) }},
		{"down", "Stop the file's daemons and relay; deletes nothing.", "fleet", func() any { return new(downCmd) }},
		{"destroy", "Stop and delete the file's sessions, keys included.", "fleet", func() any { return new(destroyCmd) }},
		{"export", "Print a wire.yaml for the machine as it is.", "fleet", func() any { return new(exportCmd) }},
		{"validate", "Check a wire.yaml.", "fleet", func() any { return new(validateCmd) }},
		{"schema", "Print the JSON Schema of wire.yaml.", "fleet", func() any { return new(schemaCmd) }},
		{"session", "List sessions and look at their mesh.", "sessions", func() any { return new(sessionCmd) }},
		{"up", "Make an identity, bind it, claim its handle, start its daemon.", "identity", func() any { return new(upCmd) }},
		{"init", "Make an identity.", "identity", func() any { return new(initCmd) }},
		{"whoami", "Show the identity.", "identity", func() any { return new(whoamiCmd) }},
		{"profile", "Show or change what the own card says of oneself.", "identity", func() any { return new(profileCmd) }},
		{"bind-relay", "Allocate a slot on a relay.", "identity", func() any { return new(bindCmd) }},
		{"rotate-slot", "Replace the slot by a new one and tell the peers.", "identity", func() any { return new(rotateCmd) }},
		{"claim", "Claim a nick in the relay's directory.", "identity", func() any { return new(claimCmd) }},
		{"responder", "Show or tell how the auto-responder is.", "identity", func() any { return new(responderCmd) }},
		{"peers", "List who is pinned.", "peers", func() any { return new(peersCmd) }},
		{"whois", "Look a handle up.", "peers", func() any { return new(whoisCmd) }},
		{"add", "Pin somebody by handle, or a sister, and ask to be pinned.", "peers", func() any { return new(addCmd) }},
		{"pair-accept", "Accept a pair request.", "peers", func() any { return new(acceptCmd) }},
		{"pair-reject", "Refuse a pair request.", "peers", func() any { return new(rejectCmd) }},
		{"pair-list-inbound", "List the pair requests that wait.", "peers", func() any { return new(inboundCmd) }},
		{"pair-list", "List pairings by code phrase that are under way.", "peers", func() any { return new(pairListCmd) }},
		{"pin", "Pin an agent card from a file.", "peers", func() any { return new(pinCmd) }},
		{"add-peer-slot", "Set where a peer is reached.", "peers", func() any { return new(addPeerSlotCmd) }},
		{"forget-peer", "Forget a peer.", "peers", func() any { return new(forgetCmd) }},
		{"send", "Queue a signed message for a peer.", "messages", func() any { return new(sendCmd) }},
		{"push", "Post what is queued.", "messages", func() any { return new(pushCmd) }},
		{"pull", "Fetch new messages into the inbox.", "messages", func() any { return new(pullCmd) }},
		{"tail", "Print the messages of the inbox.", "messages", func() any { return new(tailCmd) }},
		{"monitor", "Print messages as they arrive.", "messages", func() any { return new(monitorCmd) }},
		{"verify", "Check the signature of one event.", "messages", func() any { return new(verifyCmd) }},
		{"reactor", "Run a command for each message that arrives.", "messages", func() any { return new(reactorCmd) }},
		{"mesh", "Reach all peers, or one by its role.", "messages", func() any { return new(meshCmd) }},
		{"daemon", "Serve a session: push and pull as things happen.", "processes", func() any { return new(daemonCmd) }},
		{"notify", "Show messages on the desktop as they arrive.", "processes", func() any { return new(notifyCmd) }},
		{"relay-server", "Serve mailboxes over HTTP.", "processes", func() any { return new(relayCmd) }},
		{"doctor", "Examine this home, and say what repairs it.", "upkeep", func() any { return new(doctorCmd) }},
		{"upgrade", "Replace the daemons by those of this program.", "upkeep", func() any { return new(upgradeCmd) }},
		{"service", "Have the service manager keep daemon, relay or continuous mode.", "upkeep", func() any { return new(serviceCmd) }},
		{"completion", "Print a script that completes command lines in a shell.", "upkeep", func() any { return new(completionCmd) }},
		{"diag", "Trace what a session pulls.", "upkeep", func() any { return new(diagCmd) }},
		{"pair", "Make an identity and pair by code phrase.", "later", func() any { return new(pairCmd) }},
		{"pair-host", "Begin a pairing by code phrase.", "later", func() any { return new(pairHostCmd) }},
		{"pair-join", "Join a pairing by its code phrase.", "later", func() any { return new(pairJoinCmd) }},
		{"pair-confirm", "Confirm the digits of a pairing.", "later", func() any { return new(pairConfirmCmd) }},
		{"pair-cancel", "Cancel a pairing of this session.", "later", func() any { return new(pairCancelCmd) }},
		{"pair-watch", "Wait for a pairing.", "later", func() any { return new(pairWatchCmd) }},
		{"pair-abandon", "Free a code phrase at the relay.", "later", func() any { return new(pairAbandonCmd) }},
		{"invite", "Print a URL by which others can pair.", "later", func() any { return new(inviteCmd) }},
		{"accept", "Pair by an invite.", "later", func() any { return new(acceptInviteCmd) }},
		{"mcp", "Serve an agent host over MCP.", "later", func() any { return new(mcpCmd) }},
		{"setup", "Tell agent hosts of `wire mcp`.", "later", func() any { return new(setupCmd) }},
	}
}

// find is the command of that name or alias.
func find(name string) (command, bool) {
	if full, ok := aliases[name]; ok {
		name = full
	}
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

// option puts the command into a command-line model.
func (c command) option() kong.Option {
	var tags []string
	for alias, name := range aliases {
		if name == c.name {
			tags = append(tags, `aliases:"`+alias+`"`)
		}
	}
	return kong.DynamicCommand(c.name, c.help, "", c.make(), tags...)
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
