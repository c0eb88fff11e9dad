package registry

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"brickyard/internal/store"

	"cuelabs.dev/go/oci/ociregistry"
)

// A Role is what a user may do: each one also what those before it may.
type Role string

// The roles.
const (
	Pull  Role = "pull"  // read
	Push  Role = "push"  // and add, and move tags
	Admin Role = "admin" // and take away
)

var roles = []Role{Pull, Push, Admin}

// ParseRole reads the name of a role.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(roles, r) {
		return r, nil
	}
	return "", fmt.Errorf("role %q: it can be pull, push or admin", s)
}

// allows says whether the role includes another.
func (r Role) allows(need Role) bool { return slices.Index(roles, r) >= slices.Index(roles, need) }

// kindUser is the kind of notes about users; the key is the name.
const kindUser = "user"

// A User may talk to the registry.
type User struct {
	Name  string    `json:"name"`
	Role  Role      `json:"role"`
	Token string    `json:"token"` // sha256 of it, hex: it is too long to be guessed, so no slower hash is called for
	Made  time.Time `json:"made"`
	By    string    `json:"by"`
}

var userForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// AddUser makes a user, or gives the one there is another role and token, and returns the token, which nobody can find out again.
func AddUser(s *store.Store, name string, role Role, by string, now time.Time) (token string, err error) {
	if !userForm.MatchString(name) {
		return "", fmt.Errorf("user %q: names are lower-case letters, digits, dots, dashes and underscores, 64 at most", name)
	}
	token = rand.Text() + rand.Text()
	return token, s.Remember(kindUser, name, User{name, role, hashToken(token), now.UTC(), by})
}

// RemoveUser takes a user away. Errors: store.ErrNotFound.
func RemoveUser(s *store.Store, name string) error {
	var u User
	if err := s.Note(kindUser, name, &u); err != nil {
		return err
	}
	return s.DropNote(kindUser, name)
}

// Users lists the users by name.
func Users(s *store.Store) ([]User, error) {
	names, err := s.Notes(kindUser)
	if err != nil {
		return nil, err
	}
	var users []User
	for _, name := range names {
		var u User
		if err := s.Note(kindUser, name, &u); err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, nil
}

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// login returns the user of a request. Errors: ErrUnauthorized, and what is wrong with notes: no note, no user.
func (r *Registry) login(req *http.Request) (User, error) {
	name, token, ok := req.BasicAuth()
	if !ok || !userForm.MatchString(name) {
		return User{}, ociregistry.ErrUnauthorized
	}
	var u User
	err := r.Store.Note(kindUser, name, &u)
	if errors.Is(err, store.ErrNotFound) {
		err = ociregistry.ErrUnauthorized
	}
	if err == nil && (u.Name != name || subtle.ConstantTimeCompare([]byte(u.Token), []byte(hashToken(token))) != 1) {
		err = ociregistry.ErrUnauthorized
	}
	return u, err
}

// needs is the role that a request takes.
func needs(req *http.Request) Role {
	switch {
	case req.Method == http.MethodGet || req.Method == http.MethodHead:
		return Pull
	case req.Method == http.MethodDelete && !strings.Contains(req.URL.Path, "/blobs/uploads/"):
		return Admin
	}
	return Push
}

// guard lets only those requests through whose users may make them.
func (r *Registry) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		u, err := r.login(req)
		if err == nil && !u.Role.allows(needs(req)) {
			err = fmt.Errorf("%w: %s may %s here, and this takes %s", ociregistry.ErrDenied, u.Name, u.Role, needs(req))
		}
		if err != nil {
			if errors.Is(err, ociregistry.ErrUnauthorized) {
				w.Header().Set("WWW-Authenticate", `Basic realm="brickyard", charset="UTF-8"`)
			}
			writeError(w, req, err)
			return
		}
		next.ServeHTTP(w, req.WithContext(withUser(req.Context(), u.Name)))
	})
}
