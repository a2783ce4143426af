package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
	"unicode"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/enroll"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/internal/relay/client"
)

type initCmd struct {
	Handle string `arg:"" help:"Its name: letters, digits, - and _."`
	Name   string `placeholder:"NAME" help:"Its name for people. Default: the handle with its first letter in upper case."`
	Relay  string `placeholder:"RELAY" help:"Also allocate a slot on this relay."`
	jsonFlag
}

func (c *initCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	info, bound, err := a.makeIdentity(s, enroll.Person{Handle: c.Handle, Name: c.Name}, c.Relay)
	if err != nil {
		return err
	}
	if c.JSON {
		out := canon.Doc{
			"config_dir": s.ConfigDir(), "did": string(info.DID), "fingerprint": identity.Fingerprint(info.Public), "key_id": info.KeyID,
		}
		if bound != nil {
			out["relay_url"], out["slot_id"] = bound.RelayURL, bound.SlotID
		}
		return a.printDoc(out)
	}
	return sayInit(a.out, s, info, bound)
}

// makeIdentity is init and, with a relay, the slot there. A relay that fails leaves the identity.
func (a *app) makeIdentity(s home.Session, who enroll.Person, relay string) (info identity.CardInfo, bound *home.Endpoint, err error) {
	if err := enroll.CheckRelay(relay); err != nil {
		return info, nil, err
	}
	if info, err = enroll.Init(a.ctx, s, who); err != nil || relay == "" {
		return info, nil, err
	}
	if err := enroll.First(a.ctx, client.New(0), s, strings.TrimRight(relay, "/")); err != nil {
		return info, nil, err
	}
	file, err := s.ReadRelay()
	if err != nil {
		return info, nil, err
	}
	slot := file.SelfFlat()
	return info, &slot, nil
}

func sayInit(w io.Writer, s home.Session, info identity.CardInfo, bound *home.Endpoint) error {
	next := "`wire bind-relay <url>` to get a slot on a relay"
	if bound != nil {
		next = "`wire add <peer>@<relay>` to pair with somebody, `wire claim <nick>` to be found"
	}
	return sayIdentity(w, s, info, bound, next)
}

func sayIdentity(w io.Writer, s home.Session, info identity.CardInfo, bound *home.Endpoint, next string) error {
	fmt.Fprintf(w, "generated %s (ed25519:%s)\nconfig written to %s\n", info.DID, info.KeyID, s.ConfigDir())
	if bound != nil {
		fmt.Fprintf(w, "bound to relay %s (slot %s)\n", bound.RelayURL, bound.SlotID)
	}
	_, err := fmt.Fprintf(w, "\nnext step: %s\n", next)
	return err
}

type whoamiCmd struct{ jsonFlag }

func (c *whoamiCmd) Run(a *app) error {
	s, err := a.initialized()
	if err != nil {
		return err
	}
	card, err := s.ReadCard()
	if err != nil {
		return err
	}
	info, err := identity.ReadCard(card)
	if err != nil {
		return err
	}
	capabilities := card["capabilities"]
	if capabilities == nil {
		capabilities = []any{"wire/v3.1"}
	}
	fingerprint := identity.Fingerprint(info.Public)
	keyID := identity.KeyID(info.Handle, info.Public)
	if c.JSON {
		return a.printDoc(canon.Doc{
			"capabilities": capabilities, "config_dir": s.ConfigDir(), "did": string(info.DID), "fingerprint": fingerprint,
			"handle": info.Handle, "key_id": keyID, "public_key_b64": base64.StdEncoding.EncodeToString(info.Public),
		})
	}
	_, err = fmt.Fprintf(a.out, "%s (ed25519:%s)\nfingerprint: %s\ncapabilities: %s\n", info.DID, keyID, fingerprint, canon.Compact(capabilities))
	return err
}

type peersCmd struct{ jsonFlag }

func (c *peersCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	peers, err := pairing.Peers(s)
	if err != nil {
		return err
	}
	if peers.Unread != nil { // the pins are there, only where they lead is not known
		fmt.Fprintf(a.err, "wire peers: %v; all are shown as if they had not answered\n", peers.Unread)
	}
	if c.JSON {
		rows := []any{}
		for _, p := range peers.List {
			rows = append(rows, canon.Doc{"capabilities": p.Capabilities, "did": p.DID, "handle": p.Handle, "tier": p.Tier})
		}
		return a.printDoc(rows)
	}
	if len(peers.List) == 0 {
		_, err = fmt.Fprintln(a.out, "no peers pinned (run `wire add <peer>@<relay>`, or `wire pin <card-file>`)")
		return err
	}
	for _, p := range peers.List {
		fmt.Fprintf(a.out, "%-20s %-10s %s\n", plainText(p.Handle), plainText(p.Tier), plainText(p.DID))
	}
	return nil
}

type pinCmd struct {
	CardFile string `arg:"" name:"card-file" complete:"files" help:"The peer's agent card."`
	jsonFlag
}

func (c *pinCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(c.CardFile)
	if err != nil {
		return fmt.Errorf("reading %s: %w", c.CardFile, bare(err))
	}
	card, err := canon.Parse(data)
	if err != nil {
		return fmt.Errorf("parsing %s: %w", c.CardFile, err)
	}
	info, err := pairing.PinCard(a.ctx, s, card, time.Now())
	if err != nil {
		return err
	}
	handle := info.DID.Handle()
	if c.JSON {
		return a.printDoc(canon.Doc{"did": string(info.DID), "handle": handle, "pinned": true, "tier": identity.TierVerified})
	}
	_, err = fmt.Fprintf(a.out, "pinned %s (%s) at tier %s\n", handle, info.DID, identity.TierVerified)
	return err
}

// bare is what the system says without the path, where the text around it names that.
func bare(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

type profileCmd struct {
	Set   profileSetCmd   `cmd:"" help:"Set one field of the own profile and sign the card anew."`
	Get   profileGetCmd   `cmd:"" help:"Show the own profile."`
	Clear profileClearCmd `cmd:"" help:"Remove one field of the own profile."`
}

type profileSetCmd struct {
	Field string `arg:"" complete:"display_name,emoji,motto,vibe,pronouns,avatar_url,handle,now,listed,role" help:"display_name, emoji, motto, vibe, pronouns, avatar_url, handle, now, listed or role."`
	Value string `arg:"" help:"JSON where it parses as such, else text."`
	jsonFlag
}

func (c *profileSetCmd) Run(a *app) error {
	profile, err := a.setProfile(c.Field, identity.ProfileValue(c.Value))
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printDoc(canon.Doc{"field": c.Field, "profile": profile})
	}
	_, err = fmt.Fprintf(a.out, "profile.%s set\n", c.Field)
	return err
}

type profileClearCmd struct {
	Field string `arg:"" complete:"display_name,emoji,motto,vibe,pronouns,avatar_url,handle,now,listed,role" help:"Which."`
	jsonFlag
}

func (c *profileClearCmd) Run(a *app) error {
	profile, err := a.setProfile(c.Field, nil)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printDoc(canon.Doc{"cleared": true, "field": c.Field, "profile": profile})
	}
	_, err = fmt.Fprintf(a.out, "profile.%s cleared\n", c.Field)
	return err
}

func (a *app) setProfile(field string, value any) (profile any, err error) {
	s, err := a.session()
	if err != nil {
		return nil, err
	}
	if _, err := readCard(s); err != nil {
		return nil, err
	}
	return enroll.SetProfile(a.ctx, s, field, value)
}

// readCard is a card whose absence is told in the reference's words.
func readCard(s home.Session) (canon.Doc, error) {
	card, err := s.ReadCard()
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("reading %s: %w", identity.Quote(s.CardFile()), bare(err))
	}
	return card, err
}

type profileGetCmd struct{ jsonFlag }

func (c *profileGetCmd) Run(a *app) error { return a.showOwn(c.JSON) }

// showOwn prints the own DID and profile.
func (a *app) showOwn(asJSON bool) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	card, err := readCard(s)
	if err != nil {
		return err
	}
	if asJSON {
		return a.printDoc(canon.Doc{"did": card["did"], "profile": card["profile"]})
	}
	info, err := identity.ReadCard(card)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.out, info.DID)
	profile, _ := card["profile"].(canon.Doc)
	address, ok := profile["handle"].(string)
	if !ok {
		address = info.Handle + "@(unset)"
	}
	row(a.out, "handle", address)
	printProfile(a.out, profile)
	return nil
}

func row(w io.Writer, label, value string) {
	fmt.Fprintf(w, "  %-14s%s\n", label+":", plainText(value))
}

// printProfile prints what a profile says for people.
func printProfile(w io.Writer, profile canon.Doc) {
	for _, field := range []string{"display_name", "emoji", "motto", "vibe", "pronouns", "now"} {
		if text := profileText(profile[field]); text != "" {
			row(w, field, text)
		}
	}
}

func profileText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		words := make([]string, len(v))
		for i, w := range v {
			words[i] = profileText(w)
		}
		return strings.Join(words, ", ")
	case canon.Doc:
		if text, ok := v["text"].(string); ok {
			return text
		}
	}
	return string(canon.Compact(value))
}

// plainText is text of others as it may stand on a terminal: one line without control characters.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
}

// plainLines is the same of several lines.
func plainLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = plainText(lines[i])
	}
	return strings.Join(lines, "\n")
}

type whoisCmd struct {
	Handle string `arg:"" optional:"" help:"nick@domain. Default: this session."`
	Relay  string `placeholder:"RELAY" help:"The relay to ask instead of https://<domain>."`
	jsonFlag
}

func (c *whoisCmd) Run(a *app) error {
	if c.Handle == "" {
		return a.showOwn(c.JSON)
	}
	a.adopted() // asks nothing of the session, but says which one it is
	nick, domain, err := identity.ParseAddress(c.Handle)
	if err != nil {
		return err
	}
	base := c.Relay
	if base == "" {
		base = "https://" + domain
	}
	if err := enroll.CheckRelay(base); err != nil {
		return err
	}
	found, err := client.New(0).Resolve(a.ctx, base, nick)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printDoc(found.Doc)
	}
	fmt.Fprintln(a.out, plainText(found.DID))
	row(a.out, "nick", nick)
	if found.RelayURL != "" {
		row(a.out, "relay_url", found.RelayURL)
	}
	if found.SlotID != "" {
		row(a.out, "slot_id", found.SlotID)
	}
	profile, _ := found.Card["profile"].(canon.Doc)
	printProfile(a.out, profile)
	return nil
}

// printDoc prints a document of the formats as one line with sorted keys.
func (a *app) printDoc(v any) error {
	_, err := fmt.Fprintf(a.out, "%s\n", canon.Compact(v))
	return err
}
