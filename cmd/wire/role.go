package main

import (
	"errors"
	"fmt"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

type meshRoleCmd struct {
	Set   roleSetCmd   `cmd:"" help:"Sign a role into this session's card."`
	Get   roleGetCmd   `cmd:"" help:"Show a role, one's own or that of a peer's pinned card."`
	List  roleListCmd  `cmd:"" help:"Show the roles of all sessions of this machine."`
	Clear roleClearCmd `cmd:"" help:"Take the role out of this session's card."`
}

type roleSetCmd struct {
	jsonFlag
	Role string `arg:"" help:"1 to 32 of A-Z a-z 0-9 - _"`
}

func (c *roleSetCmd) Run(a *app) error {
	if c.Role == "" {
		return errors.New("role must not be empty (use `wire mesh role clear` to unset)")
	}
	if err := identity.CheckRole(c.Role); err != nil {
		return err
	}
	profile, err := a.setProfile("role", c.Role)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return a.printJSON(map[string]any{"profile": profile, "role": c.Role})
	}
	_, err = fmt.Fprintf(a.out, "self role = %s (signed into agent-card)\n", c.Role)
	return err
}

type roleClearCmd struct{ jsonFlag }

func (c *roleClearCmd) Run(a *app) error {
	profile, err := a.setProfile("role", nil)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return a.printJSON(map[string]any{"cleared": true, "profile": profile})
	}
	_, err = fmt.Fprintln(a.out, "self role cleared")
	return err
}

type roleGetCmd struct {
	jsonFlag
	Peer string `arg:"" optional:"" complete:"peers" help:"A peer; default: this session."`
}

func (c *roleGetCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	handle, card := identity.BareHandle(c.Peer), canon.Doc(nil)
	if handle == "" {
		handle, card, err = ownCard(s)
	} else {
		card, err = pinnedCard(s, handle)
	}
	if err != nil {
		return err
	}
	role := identity.Role(card)
	if c.JSON {
		return a.printJSON(map[string]any{"handle": handle, "role": roleOrNull(role)})
	}
	_, err = fmt.Fprintf(a.out, "%s: %s\n", handle, roleOrUnset(role))
	return err
}

func ownCard(s home.Session) (handle string, card canon.Doc, err error) {
	if card, err = readCard(s); err != nil {
		return "", nil, err
	}
	info, err := identity.ReadCard(card)
	return info.Handle, card, err
}

// pinnedCard is the card of a peer in trust.json; nil for somebody who is not pinned.
func pinnedCard(s home.Session, handle string) (canon.Doc, error) {
	trust, err := s.ReadTrust()
	if err != nil {
		return nil, err
	}
	raw, ok := trust.Raw("agents", handle)
	if !ok {
		return nil, nil
	}
	v, err := canon.Parse(raw)
	rec, _ := v.(canon.Doc)
	card, _ := rec["card"].(canon.Doc)
	return card, err
}

func roleOrNull(role string) any {
	if role == "" {
		return nil
	}
	return role
}

func roleOrUnset(role string) string {
	if role == "" {
		return "(unset)"
	}
	return role
}

type roleListCmd struct{ jsonFlag }

func (c *roleListCmd) Run(a *app) error {
	env := a.adopted()
	m, err := env.Machine()
	if err != nil {
		return err
	}
	s, err := env.Session()
	if err != nil {
		return err
	}
	all, err := census.Roles(m, s)
	if err != nil {
		return err
	}
	if c.JSON {
		rows := make([]any, len(all))
		for i, r := range all {
			rows[i] = map[string]any{"handle": r.Handle, "name": r.Name, "role": roleOrNull(r.Role), "self": r.Self}
		}
		return a.printJSON(map[string]any{"sessions": rows})
	}
	if len(all) == 0 {
		_, err = fmt.Fprintln(a.out, "no sister sessions on this machine.")
		return err
	}
	fmt.Fprintln(a.out, "SISTER ROLES (this machine):")
	for _, r := range all {
		you := ""
		if r.Self {
			you = "    ← you"
		}
		a.row("  ", 24, r.Name, 0, roleOrUnset(r.Role)+you)
	}
	return nil
}
