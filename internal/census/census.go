// Package census tells what sessions a machine has and who serves them, as the files, the process table and
// the relays show it. It is what the looking verbs print (reference/cli.md 1.2 to 1.5) and what an
// observation begins with.
//
// Law of the room: it only looks. Nothing is written, on disk or relay, and no card is verified: a listing
// shows broken sessions too.
package census
