package recipe

// A Rule is something that makes images go bad.
type Rule struct {
	Name     string `json:"name"`
	Severity string `json:"severity"` // unless the recipe says otherwise: error or warning
	Why      string `json:"why"`
	Hint     string `json:"hint"` // what to do
}

var rules = []Rule{
	{"no-owner", "warning", "an image that belongs to nobody is never updated and never deleted", `say who answers for it, as "owner: web-team"`},
	{"no-expiry", "warning", "an image without an end is kept, and run, long after its packages are known to be broken", `say when it must be baked again, as "expires: 90d"`},
	{"floating-base", "warning", "the name points at another image tomorrow; what was reviewed isn't what is baked", `add the digest, as "base: web:1.0@sha256:…", or name a recipe`},
	{"tls-off", "error", "without verification anybody on the way can put in what they like, and it is signed with our name", "add the missing CA certificate under files instead"},
	{"secret", "error", "an image is copied to many places and kept for long; what is inside must be taken as published", "give it at run time; it doesn't belong in a parameter either"},
	{"ssh-server", "warning", "a login changes a machine by hand, past the recipe, and needs keys and patches of its own", `use "brickyard exec" and "brickyard debug"`},
	{"several-services", "warning", "services in one image start, fail, grow and move together, and share one expiry", "one image for each service, and a line between them"},
	{"state-inside", "warning", "what a service writes is lost with the bank it is in, or hides what the image brings", "declare the path under state, and fill it when the service first starts"},
	{"download-in-run", "warning", "there is no network while baking; and what is downloaded isn't in the lock, so the next bake differs", "use packages, or files with url, which are locked by sha256"},
	{"latest", "warning", `"latest" names whatever is newest on the day, so that two bakes differ`, "name a version"},
}

// LintRules lists all rules with their reasons.
func LintRules() []Rule { return append([]Rule(nil), rules...) }

func ruleNames() []string {
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = r.Name
	}
	return names
}
