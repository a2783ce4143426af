package spec

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// maxSessions bounds what a full mesh takes: half a million edges.
const maxSessions = 1000

// check reports what has the right shape and still makes no sense, on any machine.
func (l *loader) check() {
	f := l.file
	l.owner()
	l.relays()
	if len(f.Sessions) > maxSessions {
		l.add(f.at["sessions"], "the file has %d sessions; at most %d are supported", len(f.Sessions), maxSessions)
		return
	}
	names, dirs, handles := claims{}, claims{}, claims{}
	for i := range f.Sessions {
		l.session(i, names, dirs, handles)
	}
	if l.allNamed() {
		l.problems = append(l.problems, f.groupProblems(f.names())...)
	} else {
		l.problems = append(l.problems, f.groupProblems(nil)...)
	}
}

// claims is who has a name, dir or handle already: the place in the list of sessions.
type claims map[string]int

func (l *loader) owner() {
	f := l.file
	if !f.has("name") {
		return
	}
	if ok, _ := regexp.MatchString(ownerPattern, f.Name); !ok || len(f.Name) > ownerMax {
		l.add(f.at["name"], "name must be 1 to %d letters, digits, dots, dashes or underscores and start with a letter or digit, not %s",
			ownerMax, quote(f.Name))
	}
}

func (l *loader) session(i int, names, dirs, handles claims) {
	f, s, path := l.file, &l.file.Sessions[i], item("sessions", i)
	if f.at[path].faulty {
		return
	}
	_, named := f.at[join(path, "name")]
	_, placed := f.at[join(path, "dir")]
	if !named && !placed {
		l.add(f.at[path], "a session needs a name, a dir or both")
	}
	if f.has(join(path, "name")) {
		at := f.at[join(path, "name")]
		switch right := home.Sanitize(s.Name); {
		case s.Name == "":
			l.add(at, "name is empty; leave it out to derive it from dir")
		case right != s.Name:
			l.add(at, "name %s would become %q on disk; write name: %s", quote(s.Name), right, right)
		default:
			l.claim(names, s.Name, i, at, "name %q", s.Name)
		}
	}
	if f.has(join(path, "dir")) {
		at := f.at[join(path, "dir")]
		if text := dirFault(s.Dir); text != "" {
			l.add(at, "%s", text)
		} else {
			l.claim(dirs, s.Dir, i, at, "dir %s", quote(s.Dir))
		}
	}
	if text, at := f.handleFault(i, s.Name); text != "" {
		l.add(at, "%s", text)
	} else if handle, at := f.handle(i, s.Name); handle != "" {
		l.claim(handles, handle, i, at, "handle %q", handle)
	}
}

// claim takes a key for session i and reports it where an earlier session has it.
func (l *loader) claim(taken claims, key string, i int, at spot, format string, args ...any) {
	if first, ok := taken[key]; ok {
		l.add(at, "%s is taken by the session on line %d", fmt.Sprintf(format, args...), l.file.at[item("sessions", first)].line)
		return
	}
	taken[key] = i
}

// handle is the nick that session i, called name, has on the federation relay, and where the file says so;
// "" if it has none or its name is not known yet.
func (f *File) handle(i int, name string) (string, spot) {
	path := item("sessions", i)
	switch {
	case f.Sessions[i].Handle != "":
		return f.Sessions[i].Handle, f.at[join(path, "handle")]
	case !f.Sessions[i].Reach.Federates():
		return "", spot{}
	case f.has(join(path, "name")):
		return name, f.at[join(path, "name")]
	}
	return name, f.at[path]
}

// handleFault is why the handle of session i cannot be claimed, "" if it can be.
func (f *File) handleFault(i int, name string) (text string, at spot) {
	handle, at := f.handle(i, name)
	explicit := f.Sessions[i].Handle != ""
	why := ""
	switch {
	case f.has(join(item("sessions", i), "handle")) && !explicit:
		return "handle is empty; leave it out to use the name", f.at[join(item("sessions", i), "handle")]
	case handle == "":
		return "", at
	case identity.CheckNick(handle) != nil:
		why = "is not 2 to 32 of a-z, 0-9, - and _"
	case identity.ReservedNick(handle):
		why = "is reserved on every relay"
	default:
		return "", at
	}
	if explicit {
		return fmt.Sprintf("handle %s %s", quote(handle), why), at
	}
	return fmt.Sprintf("name %s cannot be the handle too, for it %s; set handle", quote(handle), why), at
}

// dirFault is what is wrong with a dir as typed, on any machine.
func dirFault(dir string) string {
	switch {
	case dir == "":
		return "dir is empty; leave it out if the session has no directory"
	case strings.ContainsFunc(dir, unicode.IsControl):
		return fmt.Sprintf("dir %s holds a control character", quote(dir))
	case strings.HasPrefix(dir, "~") && dir != "~" && !strings.HasPrefix(dir, "~/"):
		return fmt.Sprintf("dir %s: only ~/ is expanded, not the home of another user", quote(dir))
	}
	_, err := expand(dir, func(string) (string, error) { return "", nil })
	if err != nil {
		return fmt.Sprintf("dir %s: %v", quote(dir), err)
	}
	return ""
}

// expand replaces each ${VAR} of text by what value says.
func expand(text string, value func(name string) (string, error)) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, after, closed := strings.Cut(strings.TrimPrefix(rest, "{"), "}")
		if !strings.HasPrefix(rest, "{") || !closed || !isVariable(name) {
			return "", fmt.Errorf("a $ must belong to a variable in braces such as ${HOME}, without a default or other operator")
		}
		v, err := value(name)
		if err != nil {
			return "", err
		}
		out.WriteString(v)
		text = after
	}
}

func isVariable(name string) bool {
	for i, r := range name {
		if r != '_' && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

func (l *loader) relays() {
	f := l.file
	for _, relay := range []struct {
		path  string
		url   *string
		check func(string) (string, error)
	}{
		{"relays.local.url", &f.Relays.Local.URL, localURL},
		{"relays.federation.url", &f.Relays.Federation.URL, federationURL},
	} {
		if !f.has(relay.path) {
			continue
		}
		clean, err := relay.check(*relay.url)
		if err != nil {
			l.add(f.at[relay.path], "url %v", err)
			continue
		}
		*relay.url = clean
	}
	if f.Relays.Local.URL == f.Relays.Federation.URL {
		at, ok := f.at["relays.federation.url"]
		if !ok {
			at = f.at["relays.local.url"]
		}
		l.add(at, "url %s is that of the other relay too; local and federation must differ", f.Relays.Local.URL)
	}
}

// relayURL reads what both relays' URLs must be, and cleans it: lower case, no trailing slash. A URL with
// userinfo is never repeated in the error.
func relayURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil && strings.Contains(text, "@"):
		return nil, fmt.Errorf("is not one, and not shown since it may hold a password")
	case err != nil:
		return nil, fmt.Errorf("%s is not one; write it like %s or %s", quote(text), DefaultLocalURL, DefaultFederationURL)
	case u.User != nil:
		return nil, fmt.Errorf("must not hold a user or password; a relay knows neither")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s must start with http:// or https://", quote(text))
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s names no host", quote(text))
	case u.RawQuery != "" || u.ForceQuery:
		return nil, fmt.Errorf("%s must not hold a query (?)", quote(text))
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return nil, fmt.Errorf("%s must not hold a fragment (#)", quote(text))
	case strings.ContainsFunc(text, unicode.IsSpace):
		return nil, fmt.Errorf("%s must not hold blanks", quote(text))
	case strings.HasSuffix(u.Host, ":"):
		return nil, fmt.Errorf("%s has a colon without a port", quote(text))
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return nil, fmt.Errorf("%s has a port that is not 1 to 65535", quote(text))
		}
	}
	u.Host = strings.ToLower(u.Host)
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

func federationURL(text string) (string, error) {
	u, err := relayURL(text)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// localURL is what a relay on this machine can be bound to.
func localURL(text string) (string, error) {
	u, err := relayURL(text)
	if err != nil {
		return "", err
	}
	host := u.Hostname()
	addr, err := netip.ParseAddr(host)
	loopback := host == "localhost" || err == nil && addr.Zone() == "" && !addr.Is4In6() && addr.IsLoopback()
	switch {
	case u.Scheme != "http":
		return "", fmt.Errorf("%s must start with http://; the local relay speaks no TLS", quote(text))
	case !loopback:
		return "", fmt.Errorf("%s is not on this machine; write a loopback address such as %s", quote(text), DefaultLocalURL)
	case u.Port() == "":
		return "", fmt.Errorf("%s has no port; write one such as %s", quote(text), DefaultLocalURL)
	case u.Path != "":
		return "", fmt.Errorf("%s must not hold a path", quote(text))
	}
	return "http://" + net.JoinHostPort(host, u.Port()), nil
}

// allNamed says whether the name of every session is known without a machine.
func (l *loader) allNamed() bool {
	for i := range l.file.Sessions {
		if !l.file.has(join(item("sessions", i), "name")) {
			return false
		}
	}
	return true
}

// names are those in the file, in its order; "" for a session without.
func (f *File) names() []string {
	names := make([]string, len(f.Sessions))
	for i, s := range f.Sessions {
		names[i] = s.Name
	}
	return names
}

// groupProblems are the mistakes in the groups of the mesh. names are those of all sessions, nil while some
// are not known: then a name may be one of these.
func (f *File) groupProblems(names []string) (found Problems) {
	if f.at["mesh"].faulty {
		return nil
	}
	known := map[string]bool{}
	for _, n := range names {
		known[n] = true
	}
	for i, group := range f.Mesh.Groups {
		path := item("mesh", i)
		if f.at[path].faulty {
			continue
		}
		if len(group) < 2 {
			found = append(found, f.problem(f.at[path], "a group needs two sessions or more, this one has %d", len(group)))
		}
		seen := map[string]bool{}
		for j, name := range group {
			at := f.at[item(path, j)]
			switch {
			case at.faulty:
			case seen[name]:
				found = append(found, f.problem(at, "%s stands twice in this group", quote(name)))
			case names != nil && !known[name]:
				found = append(found, f.problem(at, "mesh names %s, which is no session%s", quote(name), didYouMean(name, names)))
			}
			seen[name] = true
		}
	}
	return found
}
