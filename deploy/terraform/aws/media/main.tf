# Media servers behind a network load balancer. They hold ciphertext and no keys, and any of them may be lost.

locals {
  units = "${path.module}/../../../../dist/systemd"

  config = <<-END
    [media]
    listen = "0.0.0.0:${var.port}"
    dir = "/var/lib/outlast-media"
    vault = "${var.vault}"
    identity = "/var/lib/outlast-media/identity"
  END

  user_data = {
    for name, server in var.servers : name => join("\n", ["#cloud-config", yamlencode({
      fs_setup = [{ device = "/dev/nvme1n1", filesystem = "xfs", label = "spool", overwrite = false }]
      mounts   = [["LABEL=spool", "/var/lib/outlast-media", "xfs", "defaults,nofail", "0", "2"]]
      write_files = [
        { path = "/etc/outlast/media.toml", permissions = "0644", content = local.config },
        { path = "/etc/systemd/system/outlast-media.service", content = file("${local.units}/outlast-media.service") },
        {
          path        = "/usr/local/lib/outlast/prepare-media"
          permissions = "0755"
          content = templatefile("${path.module}/prepare.sh.tftpl", {
            region    = split(":", server.token_parameter_arn)[3]
            parameter = split(":parameter", server.token_parameter_arn)[1]
          })
        },
      ]
      runcmd = [
        ["sh", "-c", "for i in 1 2 3 4 5 6; do /usr/local/lib/outlast/prepare-media && break; sleep 20; done"],
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "--now", "outlast-media.service"],
      ]
    })])
  }
}

resource "aws_security_group" "media" {
  name        = var.name
  description = "Media servers"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "agents" {
  for_each          = toset(var.agent_cidrs)
  security_group_id = aws_security_group.media.id
  description       = "Agents"
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
  cidr_ipv4         = each.value
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "vault" {
  security_group_id = aws_security_group.media.id
  description       = "The vault"
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
  cidr_ipv4         = var.vault_cidr
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "aws" {
  security_group_id = aws_security_group.media.id
  description       = "The services of AWS: the token"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
  tags              = var.tags
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "media" {
  for_each = var.servers
  statement {
    sid       = "TheToken"
    actions   = ["ssm:GetParameter"]
    resources = [each.value.token_parameter_arn]
  }
}

resource "aws_iam_role" "media" {
  for_each           = var.servers
  name               = "${var.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "media" {
  for_each = var.servers
  name     = "media"
  role     = aws_iam_role.media[each.key].id
  policy   = data.aws_iam_policy_document.media[each.key].json
}

resource "aws_iam_instance_profile" "media" {
  for_each = var.servers
  name     = "${var.name}-${each.key}"
  role     = aws_iam_role.media[each.key].name
  tags     = var.tags
}

resource "aws_launch_template" "media" {
  for_each      = var.servers
  name_prefix   = "${var.name}-${each.key}-"
  image_id      = var.ami_id
  instance_type = var.instance_type
  user_data     = base64encode(local.user_data[each.key])

  iam_instance_profile {
    arn = aws_iam_instance_profile.media[each.key].arn
  }
  network_interfaces {
    associate_public_ip_address = false
    security_groups             = [aws_security_group.media.id]
  }
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  block_device_mappings {
    device_name = "/dev/sdf"
    ebs {
      volume_size           = var.spool_gib
      volume_type           = "gp3"
      throughput            = var.spool_mibps
      encrypted             = true
      delete_on_termination = true
    }
  }
  tags = var.tags
}

# A group of one for each name: a host that dies is replaced under its own name, and revokes nobody else.
resource "aws_autoscaling_group" "media" {
  for_each            = var.servers
  name                = "${var.name}-${each.key}"
  min_size            = 0
  max_size            = 1
  desired_capacity    = 1
  vpc_zone_identifier = [each.value.subnet_id]
  target_group_arns   = [aws_lb_target_group.media.arn]
  health_check_type   = "EC2"

  launch_template {
    id      = aws_launch_template.media[each.key].id
    version = aws_launch_template.media[each.key].latest_version
  }
  tag {
    key                 = "Name"
    value               = "${var.name}-${each.key}"
    propagate_at_launch = true
  }
}

# It passes TLS through: who is at the other end is for agent and media server to say to each other.
resource "aws_lb" "media" {
  name                             = var.name
  internal                         = true
  load_balancer_type               = "network"
  subnets                          = distinct([for server in values(var.servers) : server.subnet_id])
  enable_cross_zone_load_balancing = true
  tags                             = var.tags
}

resource "aws_lb_target_group" "media" {
  name     = var.name
  port     = var.port
  protocol = "TCP"
  vpc_id   = var.vpc_id
  health_check {
    protocol = "TCP"
    interval = 10
  }
  tags = var.tags
}

resource "aws_lb_listener" "media" {
  load_balancer_arn = aws_lb.media.arn
  port              = var.port
  protocol          = "TCP"
  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.media.arn
  }
  tags = var.tags
}
