# The vhosts and users of present.pp.
rabbitmq_user { ['app', 'ops']: ensure => absent }
-> rabbitmq_vhost { ['shop', 'team/one']: ensure => absent }
