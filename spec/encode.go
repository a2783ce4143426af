package spec

import (
	"bytes"

	"gopkg.in/yaml.v3"
)

// Encode is f as the text of a wire.yaml, without what the defaults say anyway. Load reads it as f again.
func (f *File) Encode() []byte {
	plain := NewFile()
	root := mapping()
	put(root, "version", f.Version)
	if f.Name != "" {
		put(root, "name", f.Name)
	}
	relays, local, federation := mapping(), mapping(), mapping()
	putUnless(local, "url", f.Relays.Local.URL, plain.Relays.Local.URL)
	putUnless(local, "managed", f.Relays.Local.Managed, plain.Relays.Local.Managed)
	putUnless(federation, "url", f.Relays.Federation.URL, plain.Relays.Federation.URL)
	putFilled(relays, "local", local)
	putFilled(relays, "federation", federation)
	putFilled(root, "relays", relays)
	defaults := mapping()
	putSettings(defaults, f.Defaults, plain.Defaults)
	putFilled(root, "defaults", defaults)

	sessions := &yaml.Node{Kind: yaml.SequenceNode}
	for _, e := range f.Sessions {
		s := mapping()
		putUnless(s, "name", e.Name, "")
		putUnless(s, "dir", e.Dir, "")
		putSettings(s, e.Settings, f.Defaults)
		putUnless(s, "handle", e.Handle, "")
		putUnless(s, "hidden", e.Hidden, false)
		sessions.Content = append(sessions.Content, s)
	}
	put(root, "sessions", sessions)
	switch {
	case f.Mesh.Full:
		put(root, "mesh", "full")
	case len(f.Mesh.Groups) == 0:
		put(root, "mesh", "none")
	default:
		groups := &yaml.Node{Kind: yaml.SequenceNode}
		for _, g := range f.Mesh.Groups {
			n := node(g)
			n.Style = yaml.FlowStyle
			groups.Content = append(groups.Content, n)
		}
		put(root, "mesh", groups)
	}

	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		panic("spec: " + err.Error()) // a buffer takes everything, and all nodes are made above
	}
	return out.Bytes()
}

func putSettings(m *yaml.Node, s, base Settings) {
	putUnless(m, "reach", s.Reach, base.Reach)
	switch {
	case s.Daemon == base.Daemon:
	case s.Daemon.Takeover:
		daemon := mapping()
		put(daemon, "takeover", true)
		put(m, "daemon", daemon)
	default:
		put(m, "daemon", s.Daemon.On)
	}
	putUnless(m, "notify", s.Notify, base.Notify)
	putUnless(m, "interval", s.Interval, base.Interval)
}

func mapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode} }

func node(value any) *yaml.Node {
	if n, ok := value.(*yaml.Node); ok {
		return n
	}
	var n yaml.Node
	if err := n.Encode(value); err != nil {
		panic("spec: " + err.Error()) // only strings, numbers, booleans and lists of strings come here
	}
	return &n
}

func put(m *yaml.Node, key string, value any) {
	m.Content = append(m.Content, node(key), node(value))
}

func putUnless[T comparable](m *yaml.Node, key string, value, plain T) {
	if value != plain {
		put(m, key, value)
	}
}

func putFilled(m *yaml.Node, key string, value *yaml.Node) {
	if len(value.Content) > 0 {
		put(m, key, value)
	}
}
