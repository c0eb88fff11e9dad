package main

import (
	"slices"
	"strings"
	"time"
)

// sh runs a line of shell, whose last command should be exec'ed.
func sh(line string) []string { return []string{"sh", "-c", line} }

// subjects lists the corpus. Packages are those of the suite that this machine runs; configuration is Debian's own but
// for what it takes to be asked something. Directories in /run that systemd would make (RuntimeDirectory, tmpfiles.d)
// are made by the command, and so is what Brickyard leaves to the first start: keys, certificates, databases.
func subjects() []subject {
	return slices.Concat(webServers(), nameServers(), mailServers(), databases(), brokers(), fileServers(), chat(), monitors(), runtimes(), tools())
}

const page = "<!doctype html>\n<title>soak</title>\n<p>Just enough.</p>\n"

// wsgi is an application of Python's.
const wsgi = `def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"six times seven is %d" % (6 * 7)]
application = app
`

func webServers() []subject {
	return []subject{
		{
			name: "nginx", packages: []string{"nginx"}, ports: []string{"80"}, stop: "SIGQUIT",
			command: []string{"nginx", "-g", "daemon off;"},
			ask:     get("80", "/", 200, "Welcome to nginx"),
		},
		{
			name: "apache2", packages: []string{"apache2"}, ports: []string{"80"}, stop: "SIGWINCH",
			command: sh(`. /etc/apache2/envvars && install -d "$APACHE_RUN_DIR" && exec apache2 -D FOREGROUND`),
			ask:     get("80", "/", 200, "Apache2 Debian Default Page"),
		},
		{
			name: "lighttpd", packages: []string{"lighttpd"}, ports: []string{"80"}, stop: "SIGINT",
			files:   map[string]string{"/var/www/html/index.html": page},
			command: sh(`install -d -o www-data /run/lighttpd && exec lighttpd -D -f /etc/lighttpd/lighttpd.conf`),
			ask:     get("80", "/", 200, "Just enough"),
		},
		{
			name: "haproxy", packages: []string{"haproxy"}, ports: []string{"80"},
			files:   map[string]string{"/etc/haproxy/soak.cfg": "frontend soak\n  bind :80\n  http-request return status 200 content-type text/plain string \"Just enough.\"\n"},
			command: sh(`install -d /run/haproxy && exec haproxy -Ws -f /etc/haproxy/haproxy.cfg -f /etc/haproxy/soak.cfg`),
			ask:     get("80", "/", 200, "Just enough"),
		},
		{
			name: "varnish", packages: []string{"varnish"}, ports: []string{"6081"},
			command: sh(`install -m 600 /proc/sys/kernel/random/uuid /etc/varnish/secret && exec varnishd -j unix,user=vcache -F -a :6081 -T localhost:6082 -f /etc/varnish/default.vcl -S /etc/varnish/secret -s malloc,64m`),
			ask:     get("6081", "/", 503, "(?s)Via: .*arnish.*Backend fetch failed"),
		},
		{
			name:  "squid",
			files: map[string]string{"/etc/squid/conf.d/soak.conf": "shutdown_lifetime 1 seconds\n"}, packages: []string{"squid"}, ports: []string{"3128"},
			command: sh(`exec squid --foreground -sYC`), wait: 2 * time.Minute,
			ask: get("3128", "/nothing", 400, "(?s)Server: squid.*Invalid URL"),
		},
		{
			name: "caddy", packages: []string{"caddy"}, variant: "minbase", ports: []string{"80"},
			files:   map[string]string{"/usr/share/caddy/index.html": page},
			more:    "user: caddy\n",
			command: []string{"caddy", "run", "--config", "/etc/caddy/Caddyfile"},
			ask:     get("80", "/", 200, "Just enough"),
			note:    "minbase, as its postinst calls groupadd without a dependency on passwd",
		},
		{
			name: "tinyproxy", packages: []string{"tinyproxy"}, ports: []string{"8888"},
			command: sh(`install -d -o tinyproxy -g tinyproxy /run/tinyproxy && exec tinyproxy -d`),
			ask:     get("8888", "/", 500, "(?s)tinyproxy.*Unable to connect"),
		},
		{
			name: "php-fpm", packages: []string{"php-fpm"}, ports: []string{"9000"}, stop: "SIGQUIT",
			files:   map[string]string{"/etc/php/8.2/fpm/pool.d/zz-soak.conf": "[www]\nlisten = 9000\n", "/srv/a.php": "<?php echo 'six times seven is ', 6 * 7;\n"},
			command: sh(`install -d -o www-data /run/php && exec php-fpm8.2 --nodaemonize --fpm-config /etc/php/8.2/fpm/php-fpm.conf`),
			ask:     fastCGI("9000", "/srv/a.php", "six times seven is 42"),
		},
		{
			name: "gunicorn", packages: []string{"gunicorn"}, ports: []string{"8000"},
			files:   map[string]string{"/srv/app.py": wsgi},
			command: []string{"gunicorn", "-b", ":8000", "--chdir", "/srv", "app:app"},
			ask:     get("8000", "/", 200, "six times seven is 42"),
		},
		{
			name: "uwsgi", packages: []string{"uwsgi-core", "uwsgi-plugin-python3"}, ports: []string{"8000"}, stop: "SIGQUIT",
			files:   map[string]string{"/srv/app.py": wsgi},
			command: []string{"uwsgi_python3", "--master", "--http-socket", ":8000", "--wsgi-file", "/srv/app.py", "--uid", "www-data", "--gid", "www-data"},
			ask:     get("8000", "/", 200, "six times seven is 42"),
		},
		{
			name: "tomcat10", packages: []string{"tomcat10"}, ports: []string{"8080"}, wait: 2 * time.Minute,
			more:    "user: tomcat\nworkdir: /var/lib/tomcat10\nenv: {CATALINA_HOME: /usr/share/tomcat10, CATALINA_BASE: /var/lib/tomcat10, CATALINA_TMPDIR: /tmp, JAVA_OPTS: \"-Djava.awt.headless=true\"}\n",
			command: []string{"/usr/libexec/tomcat10/tomcat-start.sh"},
			ask:     get("8080", "/", 200, "It works"),
		},
		{
			name: "busybox-httpd", packages: []string{"busybox-static"}, variant: "none", ports: []string{"80"},
			files:   map[string]string{"/srv/index.html": page},
			command: []string{"/bin/busybox", "httpd", "-f", "-h", "/srv"},
			ask:     get("80", "/", 200, "Just enough"),
			note:    "no /bin/sh, no dpkg: one program",
		},
	}
}

func nameServers() []subject {
	local := [4]byte{127, 0, 0, 1}
	zone := "$TTL 60\n@ SOA ns.soak. root.soak. 1 60 60 60 60\n@ NS ns.soak.\nns A 192.0.2.53\nwww A 192.0.2.80\n"
	www := [4]byte{192, 0, 2, 80}
	return []subject{
		{
			name: "bind9", packages: []string{"bind9"}, ports: []string{"53/udp"},
			command: sh(`install -d -o bind -g bind /run/named && exec named -f -u bind`),
			ask:     query("53/udp", "localhost", local),
		},
		{
			name: "unbound", packages: []string{"unbound", "dns-root-data"}, ports: []string{"53/udp"},
			command: sh(`/usr/libexec/unbound-helper root_trust_anchor_update; exec unbound -d -p`),
			ask:     query("53/udp", "localhost", local),
		},
		{
			name: "dnsmasq", packages: []string{"dnsmasq"}, ports: []string{"53/udp"},
			files:   map[string]string{"/etc/dnsmasq.d/soak.conf": "address=/www.soak/192.0.2.80\n"},
			command: []string{"dnsmasq", "--keep-in-foreground", "--conf-dir=/etc/dnsmasq.d", "--local-service", "--log-facility=-"},
			ask:     query("53/udp", "www.soak", www),
		},
		{
			name: "knot", packages: []string{"knot"}, ports: []string{"53/udp"},
			files:   map[string]string{"/etc/knot/knot.conf": "server:\n  rundir: /run/knot\n  user: knot:knot\n  listen: 127.0.0.1@53\ndatabase:\n  storage: /var/lib/knot\nzone:\n  - domain: soak\n    file: /etc/knot/soak.zone\n", "/etc/knot/soak.zone": zone},
			command: sh(`install -d -o knot -g knot /run/knot && exec knotd`),
			ask:     query("53/udp", "www.soak", www),
		},
		{
			name: "nsd", packages: []string{"nsd"}, ports: []string{"53/udp"},
			files:   map[string]string{"/etc/nsd/nsd.conf.d/soak.conf": "zone:\n  name: soak\n  zonefile: /etc/nsd/soak.zone\n", "/etc/nsd/soak.zone": zone},
			command: sh(`install -d -o nsd /run/nsd && nsd-control-setup >/dev/null 2>&1; exec nsd -d -P ""`),
			ask:     query("53/udp", "www.soak", www),
		},
		{
			name: "pdns-server", packages: []string{"pdns-server", "pdns-backend-bind"}, ports: []string{"53/udp"},
			files:   map[string]string{"/etc/powerdns/named.conf": "zone \"soak\" { type master; file \"/etc/powerdns/soak.zone\"; };\n", "/etc/powerdns/soak.zone": zone},
			command: sh(`install -d -o pdns /run/pdns && exec pdns_server --guardian=no --daemon=no --disable-syslog --write-pid=no --launch=bind --bind-config=/etc/powerdns/named.conf`),
			ask:     query("53/udp", "www.soak", www),
		},
	}
}

// smtp says hello to a mail server.
func smtp(who string) ask {
	return talk("SMTP: EHLO", "25", "<^220 .*"+who, ">EHLO soak\r\n", "<(?m)^250 ", ">QUIT\r\n", "<^221 ")
}

func mailServers() []subject {
	return []subject{
		{
			name: "postfix", packages: []string{"postfix"}, ports: []string{"25"},
			files:   map[string]string{"/etc/postfix/main.cf": "compatibility_level = 3.6\nmyhostname = mail.soak\nmaillog_file = /dev/stdout\n"},
			command: sh(`newaliases && exec postfix start-fg`),
			ask:     smtp("ESMTP Postfix"),
		},
		{
			name: "exim4", packages: []string{"exim4-daemon-light"}, ports: []string{"25"},
			command: sh(`update-exim4.conf && exec exim4 -bdf -q30m`),
			ask:     smtp("ESMTP Exim"),
		},
		{
			name: "opensmtpd", packages: []string{"opensmtpd"}, ports: []string{"25"},
			command: []string{"smtpd", "-d"},
			ask:     smtp("ESMTP OpenSMTPD"),
		},
		{
			name: "dovecot-imapd", packages: []string{"dovecot-imapd"}, ports: []string{"143"},
			command: sh(`make-ssl-cert generate-default-snakeoil && exec dovecot -F`),
			ask:     talk("IMAP: CAPABILITY", "143", `<^\* OK .*Dovecot`, ">a CAPABILITY\r\n", "<(?m)^a OK", ">b LOGOUT\r\n", "<(?m)^b OK"),
		},
	}
}

func databases() []subject {
	return []subject{
		{
			name: "postgresql", packages: []string{"postgresql"}, ports: []string{"5432"}, stop: "SIGINT",
			command: sh(`pg_createcluster 15 main && exec pg_ctlcluster --foreground 15 main start`),
			ask:     postgres("5432"),
		},
		{
			name: "mariadb-server", packages: []string{"mariadb-server"}, ports: []string{"3306"},
			command: sh(`install -d -o mysql -g mysql /run/mysqld && mariadb-install-db --user=mysql --skip-test-db >/dev/null && exec mariadbd --user=mysql`),
			ask:     talk("MySQL: handshake", "3306", `<(?s)^...\x00\x0a.*MariaDB.*mysql_native_password`),
		},
		{
			name: "redis-server", packages: []string{"redis-server"}, ports: []string{"6379"},
			more:    "user: redis\n",
			command: []string{"redis-server", "/etc/redis/redis.conf", "--daemonize", "no", "--supervised", "no"},
			ask:     talk("Redis: SET and GET", "6379", ">SET a 42\r\n", `<^\+OK`, ">GET a\r\n", `<^\$2\r\n42`),
		},
		{
			name: "memcached", packages: []string{"memcached"}, ports: []string{"11211"},
			command: []string{"memcached", "-m", "64", "-p", "11211", "-u", "memcache", "-l", "127.0.0.1"},
			ask:     talk("memcached: set and get", "11211", ">set a 0 0 2\r\n42\r\n", "<^STORED", ">get a\r\n", "<^VALUE a 0 2\r\n42\r\nEND"),
		},
		{
			name: "etcd-server", packages: []string{"etcd-server"}, ports: []string{"2379"},
			more:    "user: etcd\n",
			command: []string{"etcd", "--data-dir", "/var/lib/etcd/default"},
			ask: both(web("PUT by /v3/kv/put", "2379", "POST", "/v3/kv/put", `{"key":"YQ==","value":"NDI="}`, 200, "revision"),
				web("read by /v3/kv/range", "2379", "POST", "/v3/kv/range", `{"key":"YQ=="}`, 200, `"value":"NDI="`)),
		},
		{
			name: "influxdb", packages: []string{"influxdb"}, ports: []string{"8086"},
			more:    "user: influxdb\n",
			command: []string{"influxd", "-config", "/etc/influxdb/influxdb.conf"},
			ask:     get("8086", "/ping", 204, "X-Influxdb-Version: [0-9.]+"),
		},
		{
			name: "slapd", packages: []string{"slapd"}, ports: []string{"389"}, stop: "SIGINT",
			command: sh(`install -d -o openldap -g openldap /run/slapd && dpkg-reconfigure -f noninteractive slapd && exec slapd -d 0 -h 'ldap:/// ldapi:///' -g openldap -u openldap -F /etc/ldap/slapd.d`),
			ask: both(talk("LDAP: anonymous bind", "389", ">0\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", `<(?s)^0.\x02\x01\x01a.\x0a\x01\x00`),
				talk("search of the root", "389", ">0\x25\x02\x01\x02\x63\x20\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x0bobjectClass0\x00",
					`<(?s)OpenLDAProotDSE.*\x02\x01\x02e.\x0a\x01\x00`)),
		},
	}
}

func brokers() []subject {
	return []subject{
		{
			name: "rabbitmq-server", packages: []string{"rabbitmq-server"}, ports: []string{"5672"}, wait: 2 * time.Minute,
			more:    "user: rabbitmq\nenv: {RABBITMQ_NODENAME: rabbit@localhost, HOME: /var/lib/rabbitmq}\n",
			command: []string{"/usr/lib/rabbitmq/bin/rabbitmq-server"},
			ask:     talk("AMQP: header", "5672", ">AMQP\x00\x00\x09\x01", `<(?s)^\x01\x00\x00....\x00\x0a\x00\x0a.*RabbitMQ`),
		},
		{
			name: "mosquitto", packages: []string{"mosquitto"}, ports: []string{"1883"},
			command: sh(`install -d -o mosquitto /run/mosquitto && exec mosquitto -c /etc/mosquitto/mosquitto.conf`),
			ask:     talk("MQTT: CONNECT", "1883", ">\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04soak", `<^\x20\x02\x00\x00`),
		},
		{
			name: "nats-server", packages: []string{"nats-server"}, ports: []string{"4222"}, exits: []int{1},
			command: []string{"nats-server"},
			ask:     talk("NATS: PING", "4222", `<^INFO \{`, ">PING\r\n", `<PONG`),
		},
		{
			name: "beanstalkd", stop: "SIGINT", note: "stopped by SIGINT: as process 1 it does not end by the SIGTERM that it catches", packages: []string{"beanstalkd"}, ports: []string{"11300"},
			command: []string{"beanstalkd", "-l", "127.0.0.1", "-p", "11300", "-u", "beanstalkd"},
			ask:     talk("beanstalk: put", "11300", ">put 0 0 9 2\r\n42\r\n", "<^INSERTED [0-9]+"),
		},
		{
			name: "zookeeper", packages: []string{"zookeeperd"}, ports: []string{"2181"}, wait: 2 * time.Minute,
			more:    "user: zookeeper\n",
			command: []string{"/usr/share/zookeeper/bin/zkServer.sh", "start-foreground"},
			ask:     talk("ZooKeeper: srvr", "2181", ">srvr", "<Zookeeper version: [0-9.]+"),
		},
	}
}

func fileServers() []subject {
	return []subject{
		{
			name: "openssh-server", packages: []string{"openssh-server"}, ports: []string{"22"},
			command: sh(`ssh-keygen -A && install -d /run/sshd && exec /usr/sbin/sshd -D`),
			ask:     talk("SSH: key exchange", "22", "<^SSH-2.0-OpenSSH", ">SSH-2.0-soak\r\n", "<curve25519-sha256"),
		},
		{
			name: "samba", packages: []string{"samba"}, ports: []string{"445"},
			command: sh(`install -d /run/samba && exec smbd --foreground --no-process-group`),
			ask:     smb("445"),
		},
		{
			name: "nfs-kernel-server", packages: []string{"nfs-kernel-server"}, ports: []string{"20048"},
			files:   map[string]string{"/etc/exports": "/srv *(ro,insecure,no_subtree_check)\n"},
			command: sh(`rpcbind -w && exportfs -r && exec rpc.mountd -F -p 20048`),
			// RFC 5531, 9, and RFC 1813, 5.2.5: a call without credentials of program 100005, version 3, EXPORT.
			ask: talk("MOUNT: EXPORT", "20048", ">\x80\x00\x00\x28soak"+strings.Repeat("\x00", 7)+"\x02\x00\x01\x86\xa5\x00\x00\x00\x03\x00\x00\x00\x05"+strings.Repeat("\x00", 16),
				`<(?s)^....soak\x00\x00\x00\x01.*/srv`),
			note: "its mountd is asked for what is exported: the server of the files themselves is the machine's kernel, which an instance does not command",
		},
		{
			name: "rsync", packages: []string{"rsync"}, ports: []string{"873"}, exits: []int{20},
			files:   map[string]string{"/etc/rsyncd.conf": "[soak]\npath = /srv\ncomment = just enough\n"},
			command: []string{"rsync", "--daemon", "--no-detach"},
			ask:     talk("rsync: list of modules", "873", "<^@RSYNCD: [0-9.]+", ">@RSYNCD: 31.0\n#list\n", "<soak .*just enough"),
		},
		{
			name: "vsftpd", packages: []string{"vsftpd"}, ports: []string{"21"},
			command: sh(`install -d /run/vsftpd/empty && exec vsftpd /etc/vsftpd.conf`),
			ask:     talk("FTP: FEAT", "21", `<^220 \(vsFTPd`, ">FEAT\r\n", "<211 End", ">QUIT\r\n", "<^221 "),
		},
		{
			name: "proftpd", packages: []string{"proftpd-core"}, ports: []string{"21"},
			command: sh(`install -d /run/proftpd && exec proftpd --nodaemon`),
			ask:     talk("FTP: FEAT", "21", `<^220 ProFTPD`, ">FEAT\r\n", "<211 End", ">QUIT\r\n", "<^221 "),
		},
		{
			name: "git-daemon", packages: []string{"git"}, ports: []string{"9418"},
			command: sh(`git init -q --bare /srv/a.git && exec /usr/lib/git-core/git-daemon --reuseaddr --export-all --base-path=/srv`),
			ask:     talk("git: upload-pack", "9418", ">0034git-upload-pack /a.git\x00host=localhost\x00\x00version=1\x00", "<^000eversion 1"),
		},
		{
			name: "icecast2", packages: []string{"icecast2"}, ports: []string{"8000"},
			more:    "user: icecast2\n",
			command: []string{"icecast2", "-c", "/etc/icecast2/icecast.xml"},
			ask:     get("8000", "/status-json.xsl", 200, `"server_id":"Icecast [0-9.]+"`),
		},
		{
			name: "cups", packages: []string{"cups-daemon"}, ports: []string{"631"},
			command: sh(`install -d -g lp /run/cups && exec cupsd -f`),
			ask:     cups("631"),
		},
		{
			name: "docker-registry", packages: []string{"docker-registry"}, ports: []string{"5000"}, exits: []int{2},
			more:    "user: docker-registry\n",
			command: []string{"docker-registry", "serve", "/etc/docker/registry/config.yml"},
			ask:     get("5000", "/v2/", 401, `Docker-Distribution-Api-Version: registry/2.0`),
		},
	}
}

func chat() []subject {
	irc := talk("IRC: NICK and USER", "6667", ">NICK soak\r\nUSER soak 0 * :soak\r\n", "< 001 soak ")
	xmpp := talk("XMPP: stream", "5222", ">"+`<?xml version='1.0'?><stream:stream to='localhost' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>`, "<<stream:features")
	return []subject{
		{
			name: "ngircd", packages: []string{"ngircd"}, ports: []string{"6667"},
			command: sh(`install -d -o irc -g irc /run/ngircd && exec ngircd -n`),
			ask:     irc,
		},
		{
			name: "inspircd", packages: []string{"inspircd"}, ports: []string{"6667"}, exits: []int{10},
			command: sh(`install -d -o irc -g irc /run/inspircd && exec setpriv --reuid irc --regid irc --init-groups inspircd --nofork --config /etc/inspircd/inspircd.conf`),
			ask:     irc,
		},
		{
			name: "prosody", packages: []string{"prosody"}, ports: []string{"5222"},
			command: sh(`install -d -o prosody -g prosody /run/prosody && exec setpriv --reuid prosody --regid prosody --init-groups prosody -F`),
			ask:     xmpp,
		},
		{
			name: "ejabberd", packages: []string{"ejabberd"}, ports: []string{"5222"}, wait: 2 * time.Minute,
			command: sh(`openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=soak -keyout /tmp/key -out /tmp/crt 2>/dev/null && cat /tmp/key /tmp/crt >/etc/ejabberd/ejabberd.pem && chown ejabberd /etc/ejabberd/ejabberd.pem && install -d -o ejabberd /run/ejabberd && HOME=/var/lib/ejabberd exec setpriv --reuid ejabberd --regid ejabberd --init-groups /usr/sbin/ejabberdctl foreground`),
			ask:     xmpp,
		},
		{
			name: "coturn", packages: []string{"coturn"}, ports: []string{"3478/udp"},
			more:    "user: turnserver\n",
			command: []string{"turnserver", "-n", "--pidfile", "/tmp/turnserver.pid", "--listening-ip", "127.0.0.1"},
			ask:     datagram("STUN: binding", "3478/udp", "\x00\x01\x00\x00\x21\x12\xa4\x42just enough!", `(?s)^\x01\x01..\x21\x12\x{a4}\x42just enough!`),
		},
		{
			name: "tor", packages: []string{"tor"}, ports: []string{"9050"}, stop: "SIGINT",
			command: sh(`install -d -o debian-tor -g debian-tor -m 2755 /run/tor && exec tor --defaults-torrc /usr/share/tor/tor-service-defaults-torrc -f /etc/tor/torrc --RunAsDaemon 0`),
			ask:     talk("SOCKS: hello", "9050", ">\x05\x01\x00", `<^\x05\x00`),
		},
		{
			name: "stunnel4", packages: []string{"stunnel4", "openssl"}, ports: []string{"853"},
			files:   map[string]string{"/etc/stunnel/soak.conf": "foreground = yes\npid =\n[soak]\naccept = 853\nconnect = 127.0.0.1:853\ncert = /tmp/soak.pem\n"},
			command: sh(`openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=soak -keyout /tmp/soak.key -out /tmp/soak.crt 2>/dev/null && cat /tmp/soak.key /tmp/soak.crt >/tmp/soak.pem && exec stunnel4 /etc/stunnel/soak.conf`),
			ask:     talkTLS("TLS: handshake", "853", ">"),
		},
		{
			name: "freeradius", packages: []string{"freeradius"}, ports: []string{"1812/udp"},
			files:   map[string]string{"/etc/freeradius/3.0/mods-config/files/authorize": "soak Cleartext-Password := \"wall\"\n"},
			more:    "lint: {secret: off}\n",
			command: sh(`make-ssl-cert generate-default-snakeoil && openssl dhparam -out /etc/freeradius/3.0/certs/dh 1024 2>/dev/null && exec freeradius -f`),
			ask:     radius("1812/udp", "soak", "wall", `(?s)^\x02\x01`),
		},
	}
}

func monitors() []subject {
	return []subject{
		{
			name: "prometheus", packages: []string{"prometheus"}, ports: []string{"9090"},
			more:    "user: prometheus\n",
			command: []string{"prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/var/lib/prometheus/metrics2/"},
			ask:     get("9090", "/-/ready", 200, "Prometheus Server is Ready"),
		},
		{
			name: "prometheus-node-exporter", packages: []string{"prometheus-node-exporter"}, ports: []string{"9100"}, exits: []int{2},
			more:    "user: prometheus\n",
			command: []string{"prometheus-node-exporter"},
			ask:     get("9100", "/metrics", 200, "node_exporter_build_info"),
		},
		{
			name: "prometheus-alertmanager", packages: []string{"prometheus-alertmanager"}, ports: []string{"9093"},
			more:    "user: prometheus\n",
			command: []string{"prometheus-alertmanager", "--config.file=/etc/prometheus/alertmanager.yml", "--storage.path=/var/lib/prometheus/alertmanager/", "--cluster.listen-address="},
			ask:     get("9093", "/-/ready", 200, "OK"),
		},
		{
			name: "snmpd", packages: []string{"snmpd"}, ports: []string{"161/udp"},
			command: []string{"snmpd", "-LOw", "-u", "Debian-snmp", "-g", "Debian-snmp", "-f"},
			ask: datagram("SNMP: sysDescr", "161/udp", "0\x29\x02\x01\x01\x04\x06public\xa0\x1c\x02\x04\x00\x00\x00\x01\x02\x01\x00\x02\x01\x000\x0e0\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00\x05\x00",
				"Linux "),
		},
		{
			name: "chrony", packages: []string{"chrony"}, ports: []string{"123/udp"},
			files:   map[string]string{"/etc/chrony/conf.d/soak.conf": "local stratum 10\nallow\n"},
			command: sh(`install -d -o _chrony -g _chrony -m 750 /run/chrony && exec chronyd -d -x`),
			ask:     ntp(),
			note:    "with -x: an instance may not set this machine's clock",
		},
	}
}

// ntp asks for the time (RFC 5905, 7.3): version 4, mode 3; the answer is of mode 4.
func ntp() ask {
	return datagram("NTP: the time", "123/udp", "\x23"+strings.Repeat("\x00", 47), `^[\x{24}\x{64}\x{a4}\x{e4}]`)
}

func runtimes() []subject {
	return []subject{
		{
			name: "python3", packages: []string{"python3"}, ports: []string{"8000"}, stop: "SIGINT",
			command: []string{"python3", "-m", "http.server", "8000", "-d", "/usr/lib"},
			ask:     get("8000", "/", 200, "Directory listing for /"),
		},
		{
			name: "nodejs", packages: []string{"nodejs"}, ports: []string{"8000"},
			command: []string{"node", "-e", `process.on("SIGTERM", () => process.exit()); require("http").createServer((q, r) => r.end("six times seven is " + 6 * 7)).listen(8000)`},
			ask:     get("8000", "/", 200, "six times seven is 42"),
		},
	}
}

func tools() []subject {
	return []subject{
		{
			name: "systemd", packages: []string{"systemd-sysv", "dbus"},
			tool: sh("systemd-analyze --man=no verify default.target && systemctl --root=/ is-enabled getty@.service"), says: "^enabled$",
			note: "its units are verified here, for an instance has no control groups to give to an init; it is booted as process 1 of a machine in the part machine",
		},
		{
			name: "openjdk-17-jre-headless", packages: []string{"openjdk-17-jre-headless"},
			tool: []string{"keytool", "-list", "-cacerts", "-storepass", "changeit"}, says: "Your keystore contains 1[0-9]+ entries",
		},
		{
			name: "golang-go", packages: []string{"golang-go"},
			files: map[string]string{"/srv/main.go": "package main\n\nfunc main() { println(6 * 7) }\n"},
			tool:  sh("go run /srv/main.go 2>&1"), says: "^42$",
		},
		{name: "ruby", packages: []string{"ruby"}, tool: []string{"ruby", "-rjson", "-e", "puts({a: 6 * 7}.to_json)"}, says: `^\{"a":42\}$`},
		{name: "perl", packages: []string{"perl"}, tool: []string{"perl", "-MJSON::PP", "-e", "print encode_json({a => 6 * 7})"}, says: `^\{"a":42\}$`},
		{name: "php-cli", packages: []string{"php-cli"}, tool: []string{"php", "-r", "echo json_encode(['a' => 6 * 7]);"}, says: `^\{"a":42\}$`},
		{name: "sqlite3", packages: []string{"sqlite3"}, tool: []string{"sqlite3", ":memory:", "select 6 * 7"}, says: "^42$"},
		{
			name: "gcc", packages: []string{"gcc", "libc6-dev"},
			files: map[string]string{"/srv/a.c": "int main(void) { return 6 * 7; }\n"},
			tool:  sh("gcc -o /tmp/a /srv/a.c && /tmp/a; echo $?"), says: "^42$",
		},
		{
			name: "imagemagick", packages: []string{"imagemagick"},
			tool: sh("convert -size 6x7 xc:red png:- | identify -"), says: "PNG 6x7",
		},
	}
}
