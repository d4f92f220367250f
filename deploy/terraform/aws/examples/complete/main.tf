# All of it in one account: the share, the agent, two media servers, and a workload with its own group.

provider "aws" {
  region = var.region
}

module "share" {
  source     = "../../share"
  vpc_id     = var.vpc_id
  subnet_ids = var.subnet_ids
  workloads = {
    shop-db    = { uid = 10101 }
    shop-files = { uid = 10102 }
  }
}

module "agent" {
  source              = "../../agent"
  name                = "eu-1"
  share               = module.share.share
  vpc_id              = var.vpc_id
  subnet_ids          = values(var.subnet_ids)
  ami_id              = var.ami_id
  upstream            = "https://media.example:8443/"
  upstream_cidr       = "10.0.0.0/16"
  token_parameter_arn = "${var.parameters}/outlast/agent/eu-1"
}

module "media" {
  source = "../../media"
  vpc_id = var.vpc_id
  servers = {
    cloud-1 = { subnet_id = values(var.subnet_ids)[0], token_parameter_arn = "${var.parameters}/outlast/media/cloud-1" }
    cloud-2 = { subnet_id = values(var.subnet_ids)[1], token_parameter_arn = "${var.parameters}/outlast/media/cloud-2" }
  }
  agent_cidrs = ["10.0.0.0/16"]
  vault       = "https://vault.example:8443/"
  vault_cidr  = "192.168.10.0/24"
  ami_id      = var.ami_id
}

module "shop_db" {
  source     = "../../workload"
  workload   = "shop-db"
  share      = module.share.share
  role_name  = aws_iam_role.shop.name
  group_name = "shop"
  group_id   = aws_autoscaling_group.shop.id
  drop       = ["postgres", "--database", "shop"]
  after      = ["postgresql.service"]
}

# What the application team has anyway; the lines with module.shop_db are what it adds.

resource "aws_iam_role" "shop" {
  name = "shop"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_instance_profile" "shop" {
  name = "shop"
  role = aws_iam_role.shop.name
}

resource "aws_launch_template" "shop" {
  name          = "shop"
  image_id      = var.ami_id
  instance_type = "t4g.small"
  user_data     = base64encode(module.shop_db.user_data)
  iam_instance_profile {
    arn = aws_iam_instance_profile.shop.arn
  }
  vpc_security_group_ids = [module.shop_db.security_group_id]
  metadata_options {
    http_tokens = "required"
  }
}

resource "aws_autoscaling_group" "shop" {
  name                = "shop"
  min_size            = 1
  max_size            = 4
  vpc_zone_identifier = values(var.subnet_ids)
  launch_template {
    id      = aws_launch_template.shop.id
    version = aws_launch_template.shop.latest_version
  }
}
