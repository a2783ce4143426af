package home

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/canon"
)

// Registry is ROOT/registry.json: cwd -> session name (5.1).
type Registry struct {
	ByCwd map[string]string
}

// Lookup is the name that a working directory is registered to, as stored.
func (r Registry) Lookup(cwd string) (name string, ok bool) {
	name, ok = r.ByCwd[RegistryKey(cwd)]
	return name, ok
}

// Set registers a working directory.
func (r *Registry) Set(cwd, name string) {
	if r.ByCwd == nil {
		r.ByCwd = map[string]string{}
	}
	r.ByCwd[RegistryKey(cwd)] = name
}

// Forget removes what leads to the directory of name. It compares sanitized values, since a hashed name can
// be longer than its directory's (quirk 18).
func (r *Registry) Forget(name string) {
	dir := Sanitize(name)
	maps.DeleteFunc(r.ByCwd, func(_, v string) bool { return Sanitize(v) == dir })
}

// CwdOf is the working directory registered to exactly this name; of several the first in byte order.
func (r Registry) CwdOf(name string) (cwd string, ok bool) {
	for k, v := range r.ByCwd {
		if v == name && (!ok || k < cwd) {
			cwd, ok = k, true
		}
	}
	return cwd, ok
}

// Names are the names in use, for DeriveName: as stored, and the directories that longer ones lead to.
func (r Registry) Names() map[string]bool {
	out := make(map[string]bool, len(r.ByCwd))
	for _, v := range r.ByCwd {
		out[v] = true
		if len(v) > maxName {
			out[Sanitize(v)] = true
		}
	}
	return out
}

// Shared are the entries that lead to a session's directory, if they do so under several names: the reference
// cuts a name that is too long, so that two projects have one session and do not know it (cli.md 6.1-7). Several
// directories of one name are meant to.
func (r Registry) Shared(name string) map[string]string {
	dir := Sanitize(name)
	out, names := map[string]string{}, map[string]bool{}
	for cwd, v := range r.ByCwd {
		if Sanitize(v) == dir {
			out[cwd], names[v] = v, true
		}
	}
	if len(names) < 2 {
		return nil
	}
	return out
}

// SharedBy names the directories that share a session, with the name that each is registered under.
func SharedBy(byCwd map[string]string) string {
	var out []string
	for _, cwd := range slices.Sorted(maps.Keys(byCwd)) {
		out = append(out, fmt.Sprintf("%s (as %q)", cwd, byCwd[cwd]))
	}
	return strings.Join(out, " and ")
}

// NameFor is 5.3: the name that cwd has, else the one it would get.
func (r Registry) NameFor(cwd string) string {
	if name, ok := r.Lookup(cwd); ok {
		return name
	}
	return DeriveName(cwd, r.Names())
}

// RegistryFile is where it is, for watches and error texts.
func (m Machine) RegistryFile() string { return join(m.Root, "registry.json") }

// registryDoc keeps the members that are not ours.
type registryDoc struct {
	Registry
	rest canon.Doc
}

func parseRegistry(data []byte) (registryDoc, error) {
	doc, err := canon.ParseObject(data)
	if err != nil {
		return registryDoc{}, err
	}
	reg := registryDoc{Registry{map[string]string{}}, doc}
	by, ok := doc["by_cwd"]
	if !ok {
		return reg, nil
	}
	entries, ok := by.(canon.Doc)
	if !ok {
		return registryDoc{}, errors.New("by_cwd is no object")
	}
	for cwd, name := range entries {
		if reg.ByCwd[cwd], ok = name.(string); !ok {
			return registryDoc{}, fmt.Errorf("by_cwd has a value that is no string, for %q", cwd)
		}
	}
	return reg, nil
}

func (r registryDoc) render() []byte {
	by := make(canon.Doc, len(r.ByCwd))
	for cwd, name := range r.ByCwd {
		by[cwd] = name
	}
	doc := maps.Clone(r.rest)
	doc["by_cwd"] = by
	return canon.Pretty(doc)
}

func (m Machine) registry() document[registryDoc] {
	return document[registryDoc]{m.RegistryFile(), `{"by_cwd":{}}`, parseRegistry}
}

// Registry reads it; a missing file is empty, an unparsable one a *FileError.
func (m Machine) Registry() (Registry, error) {
	reg, _, err := m.registry().read()
	return reg.Registry, err
}

// UpdateRegistry changes it under registry.lock. An unparsable file is refused, untouched. change may be
// called more than once (see UpdateRelay); it must not keep the map.
func (m Machine) UpdateRegistry(ctx context.Context, change func(*Registry) error) error {
	if err := os.MkdirAll(m.Root, 0o700); err != nil {
		return err
	}
	return update(ctx, join(m.Root, "registry.lock"), m.registry(), func(reg registryDoc) ([]byte, error) {
		before := maps.Clone(reg.ByCwd)
		if err := change(&reg.Registry); err != nil {
			return nil, err
		}
		if maps.Equal(before, reg.ByCwd) {
			return nil, nil
		}
		return reg.render(), nil
	})
}
